package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Sync asks the database for its current revision, waits until the cache has it
// and returns it: a read of the cache after it is as current as a read of the
// database. Callers at the same time share a question, but nobody takes the
// answer to one that was asked before they came.
//
// The error wraps [ErrUnavailable] when the database or the cache's catching up
// takes longer than a few seconds.
func (s *Store) Sync(ctx context.Context) (int64, error) {
	if s.exclusive {
		// Every acknowledged write was ours and is in the cache.
		return s.Revision(), nil
	}
	revision, err := s.questions.ask(ctx)
	if err != nil {
		return 0, err
	}
	if s.Revision() >= revision {
		return revision, nil
	}
	waiting, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := s.feed.wait(waiting, revision); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return 0, fmt.Errorf("%w: the cache did not reach revision %d in time", ErrUnavailable, revision)
		}
		return 0, err
	}
	return revision, nil
}

// answerTimeout is how long a question to the database and the catching up with
// its answer may take each.
const answerTimeout = 5 * time.Second

// questions are the requests for the current revision: at most one is under way
// and one is being collected.
type questions struct {
	signal chan struct{}

	mu     sync.Mutex
	next   *question
	closed bool
}

type question struct {
	answered chan struct{}
	revision int64
	err      error
}

func newQuestions() *questions { return &questions{signal: make(chan struct{}, 1)} }

func (q *questions) ask(ctx context.Context) (int64, error) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return 0, ErrClosed
	}
	if q.next == nil {
		q.next = &question{answered: make(chan struct{})}
		select {
		case q.signal <- struct{}{}:
		default:
		}
	}
	mine := q.next
	q.mu.Unlock()
	select {
	case <-mine.answered:
		return mine.revision, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// take returns the question that was collected; nobody can join it any more.
func (q *questions) take() *question {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.next
	q.next = nil
	return taken
}

// run asks one question after the other. It isn't bound to any caller's context,
// as it asks for all.
func (q *questions) run(ctx context.Context, ask func(context.Context) (int64, error)) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-q.signal:
			if current := q.take(); current != nil {
				current.revision, current.err = ask(ctx)
				close(current.answered)
			}
		}
	}
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	if last := q.take(); last != nil {
		last.err = ErrClosed
		close(last.answered)
	}
}

// askRevision asks the database where it is.
func (s *Store) askRevision(ctx context.Context) (int64, error) {
	s.cache.mu.RLock()
	ours := s.cache.state
	s.cache.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	state, err := s.driver.State(ctx)
	s.metrics.questions.Inc()
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, fmt.Errorf("%w: it did not answer within %v", ErrUnavailable, answerTimeout)
	case err != nil:
		return 0, err
	case state.Epoch != ours.Epoch || state.Revision < ours.Revision:
		s.feed.suspect()
		return 0, fmt.Errorf("%w: its history changed and is loaded again", ErrUnavailable)
	}
	return state.Revision, nil
}
