package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a store. Driver is required; zero values take the defaults.
type Options struct {
	Driver Driver
	Logger *slog.Logger
	// Sealer of the values in the database; nil: they are kept as they are.
	Sealer Sealer

	// HistoryRetention is how long history is kept in the database, so how old
	// a revision may be that a watch or a list starts from; default 1 hour.
	HistoryRetention time.Duration
	// MaxHistoryBytes is the size of the database above which history is kept
	// for a shorter time; 0: no limit.
	MaxHistoryBytes int64
	// WriteTimeout is how long a write waits for a lost database; default 15 s.
	WriteTimeout time.Duration

	// RecentBytes bounds the changes that are kept in memory for watchers that
	// come back, and for reads of recent revisions; default 32 MiB.
	RecentBytes int64
	// EncodingBytes bounds what [Store.Encoding] keeps; default 64 MiB,
	// negative: nothing is kept.
	EncodingBytes int64
	// A watcher that falls behind by more than this many deliveries, or by
	// deliveries of more than this many bytes, is ended with [ErrSlowWatcher];
	// default 16,384 and 64 MiB (the bytes are shared by all watchers).
	WatcherDeliveries int
	WatcherBytes      int64

	// Now is the clock that times to live and history are measured with.
	Now func() time.Time
}

func (o *Options) setDefaults() error {
	if o.Driver == nil {
		return errors.New("storage: a driver is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.HistoryRetention, time.Hour)
	setDefault(&o.WriteTimeout, 15*time.Second)
	setDefault(&o.RecentBytes, 32<<20)
	setDefault(&o.EncodingBytes, 64<<20)
	setDefault(&o.WatcherDeliveries, 16384)
	setDefault(&o.WatcherBytes, 64<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// A Store keeps the objects of a cluster: writes go to the database in groups,
// reads and watches come from memory that follows the database's history.
// See the package comment for how.
type Store struct {
	options   Options
	driver    Driver
	opener    *opener // the driver, if values are sealed; else nil
	log       *slog.Logger
	exclusive bool

	cache     *cache
	hub       *hub
	feed      *feed
	committer *committer
	questions *questions
	encodings *encodingCache
	metrics   *metrics

	lifecycle  sync.Mutex
	started    bool
	stopped    bool
	background sync.WaitGroup
	cancel     context.CancelFunc // ends everything but the committer
	abort      context.CancelFunc // ends the committer, too
	trouble    atomic.Pointer[error]
}

// New returns a store that is not started yet.
func New(o Options) (*Store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	origin := make([]byte, 12)
	if _, err := rand.Read(origin); err != nil {
		return nil, fmt.Errorf("storage: name this run: %w", err)
	}
	s := &Store{options: o, driver: o.Driver, log: o.Logger}
	if e, ok := o.Driver.(Exclusive); ok {
		s.exclusive = e.Exclusive()
	}
	if o.Sealer != nil {
		s.opener = newOpener(o.Driver, o.Sealer)
		s.driver = s.opener
	}
	s.metrics = newMetrics(s)
	s.cache = newCache()
	s.hub = newHub(o.RecentBytes)
	s.encodings = newEncodingCache(o.EncodingBytes)
	s.feed = newFeed(s)
	s.questions = newQuestions()
	s.committer = newCommitter(s, hex.EncodeToString(origin))
	s.setTrouble(errNotStarted)
	return s, nil
}

// Exclusive is what a driver also implements when nobody else can write to its
// database while it is open: the store then knows the current revision without
// asking.
type Exclusive interface{ Exclusive() bool }

var errNotStarted = errors.New("the store has not loaded its objects yet")

// Start loads every object and begins to follow the database. It fails when the
// database can't be read; ctx bounds the loading only.
func (s *Store) Start(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	switch {
	case s.stopped:
		return ErrClosed
	case s.started:
		return errors.New("storage: the store was started already")
	}
	began := time.Now()
	state, err := s.load(ctx, nil)
	if err != nil {
		return fmt.Errorf("storage: load the objects: %w", err)
	}
	s.started = true
	s.setTrouble(nil)
	s.log.Debug("storage: loaded", "revision", state.Revision, "took", time.Since(began))

	running, cancel := context.WithCancel(context.Background())
	committing, abort := context.WithCancel(context.Background())
	s.cancel, s.abort = cancel, abort
	s.run(func() { s.feed.run(running) })
	s.run(func() { s.driver.Listen(running, s.feed.wake) })
	s.run(func() { s.questions.run(running, s.askRevision) })
	s.run(func() { s.expireLoop(running) })
	s.run(func() { s.compactLoop(running) })
	if s.opener != nil {
		s.run(func() { s.reopenLoop(running) })
	}
	s.committer.start(committing)
	return nil
}

func (s *Store) run(f func()) {
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		f()
	}()
}

// Stop refuses new writes, waits until the ones under way are committed or ctx
// ends, ends the watchers with [ErrClosed] and waits for the store's
// goroutines. It may be called twice, and before Start. The driver stays open.
func (s *Store) Stop(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	s.setTrouble(ErrClosed)
	s.committer.close()
	if !s.started {
		s.hub.close(s.cache.prefixes.Load().collections)
		return nil
	}
	var err error
	select {
	case <-s.committer.done:
	case <-ctx.Done():
		err = fmt.Errorf("storage: writes were still under way at the end of the stop: %w", context.Cause(ctx))
		s.abort()
		<-s.committer.done
	}
	s.abort()
	s.feed.drain(ctx)
	s.hub.close(s.cache.prefixes.Load().collections)
	s.cancel()
	s.background.Wait()
	return err
}

// Ready says why the store can't serve now; nil when it can.
func (s *Store) Ready() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *Store) setTrouble(err error) {
	if err == nil {
		s.trouble.Store(nil)
		return
	}
	s.trouble.Store(&err)
}

// contacted notes what the last word of the database was.
func (s *Store) contacted(err error) {
	previous := s.trouble.Load()
	switch {
	case previous != nil && (errors.Is(*previous, ErrClosed) || errors.Is(*previous, errNotStarted)):
	case err != nil:
		s.trouble.CompareAndSwap(previous, &err)
	case previous != nil:
		s.trouble.CompareAndSwap(previous, nil)
	}
}

// Register tells the store, before Start or at run time, that the keys under
// prefix ("/registry/pods/") are one collection, described by describe. indexes
// are names of fields that are looked up by equality; metadata.name and
// metadata.namespace need none, as they are taken from the key, whose last
// element is the name and whose element before is the namespace.
//
// A prefix that is registered already keeps its collection, which is returned.
// Prefixes may nest, the longest one has the key; of nested prefixes that are
// registered at run time the longer one comes first.
func (s *Store) Register(prefix string, describe Describe, indexes ...string) *Collection {
	s.cache.applying.Lock()
	defer s.cache.applying.Unlock()
	if c := s.cache.prefixes.Load().exact(prefix); c != nil {
		return c
	}
	c := newCollection(s, prefix, describe, indexes)
	s.cache.register(c)
	s.hub.register(c, s.Revision())
	s.reopenSoon() // the sealer may not have known whose values they are
	return c
}

// Revision is the one that the cache is at.
func (s *Store) Revision() int64 { return s.cache.revision() }

// Encoding returns what make returned for this object and key, from memory when
// it is still there. Encodings of an object are forgotten when a newer version
// of it arrives, or when the budget needs their room.
func (s *Store) Encoding(o *Object, key any, make func() ([]byte, error)) ([]byte, error) {
	return s.encodings.get(o, key, make)
}
