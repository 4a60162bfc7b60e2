package storage

import (
	"context"
	"sync"
)

// Followers are many followers that share one goroutine, so that thousands of
// collections can be followed of which hardly any changes.
type Followers struct {
	signal chan struct{}

	mu  sync.Mutex
	due []*member
}

// A member is one of them.
type member struct {
	*Follower
	due bool // guarded by Followers.mu

	turn  sync.Mutex
	ended bool
}

// NewFollowers returns none yet.
func NewFollowers() *Followers { return &Followers{signal: make(chan struct{}, 1)} }

// Follow gives the keeper what the collection has now. The store must have been
// started; the changes come while [Followers.Run] runs, until stop has returned.
func (fs *Followers) Follow(c *Collection, k Keeper) (stop func()) {
	m := &member{Follower: c.Follow(k)}
	fs.wake(m)
	return m.stop
}

func (fs *Followers) wake(m *member) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if m.due {
		return
	}
	m.due = true
	fs.due = append(fs.due, m)
	select {
	case fs.signal <- struct{}{}:
	default:
	}
}

func (fs *Followers) take() []*member {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	due := fs.due
	fs.due = nil
	for _, m := range due {
		m.due = false
	}
	return due
}

// Run tells the keepers of the changes until ctx ends.
func (fs *Followers) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-fs.signal:
		}
		for _, m := range fs.take() {
			m.run(ctx, fs)
		}
	}
}

// run does what is due.
func (m *member) run(ctx context.Context, fs *Followers) {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.ended {
		return
	}
	var err error
	if m.watcher == nil {
		_, err = m.watch(ctx, func() { fs.wake(m) })
	} else if err = m.tell(ctx, m.watcher); err != nil {
		m.watcher.Stop()
	}
	if err != nil && m.again(ctx, err) {
		fs.wake(m)
	}
}

func (m *member) stop() {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.ended = true
	if m.watcher != nil {
		m.watcher.Stop()
	}
}
