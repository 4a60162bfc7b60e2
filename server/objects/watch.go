package objects

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	apistorage "k8s.io/apiserver/pkg/storage"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"

	"github.com/howdah/howdah/storage"
)

// Watch serves watchers inside the server, of decoded objects; clients' watches
// are served from bytes.
func (s *Store) Watch(ctx context.Context, key string, opts apistorage.ListOptions) (watch.Interface, error) {
	key, err := s.key(key, opts.Recursive)
	if err != nil {
		return nil, err
	}
	from, err := s.Versioner().ParseResourceVersion(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if opts.Recursive && !strings.HasSuffix(key, "/") {
		return nil, errors.New(`recursive key needs to end with "/"`)
	}
	ctx, cancel := context.WithCancel(ctx)
	const buffered = 100
	w := &watching{
		store: s, key: key, opts: opts, from: int64(from),
		cancel: cancel, results: make(chan watch.Event, buffered),
	}
	if opts.SendInitialEvents != nil && !*opts.SendInitialEvents && from == 0 {
		// Only what happens from now on: now is when this returns.
		if w.from, err = s.store.Sync(ctx); err != nil {
			cancel()
			return nil, s.failure(err)
		}
	}
	go w.run(ctx)
	utilflowcontrol.WatchInitialized(ctx)
	return w, nil
}

// watching is one watch; its goroutine ends with the context or by Stop.
type watching struct {
	store   *Store
	key     string // a prefix if the watch is recursive
	opts    apistorage.ListOptions
	from    int64
	cancel  context.CancelFunc
	results chan watch.Event
}

func (w *watching) Stop() { w.cancel() }

func (w *watching) ResultChan() <-chan watch.Event { return w.results }

func (w *watching) run(ctx context.Context) {
	defer close(w.results)
	defer w.cancel()
	err := w.deliver(ctx)
	if err == nil || ctx.Err() != nil || errors.Is(err, storage.ErrSlowWatcher) {
		return // the client goes on from where it is
	}
	w.send(ctx, watch.Error, watchStatus(err, w.store.resource))
}

func (w *watching) deliver(ctx context.Context) error {
	if err := w.initial(ctx); err != nil {
		return err
	}
	options := storage.WatchOptions{After: w.from}
	if w.opts.Recursive {
		options.Prefix = w.key
	} else {
		options.Key = w.key
	}
	watcher, err := w.store.collection.Watch(ctx, options)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	var progress <-chan time.Time
	if w.opts.ProgressNotify {
		ticker := time.NewTicker(w.store.progress)
		defer ticker.Stop()
		progress = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-progress:
			if err := w.bookmark(ctx, watcher.Progress(), false); err != nil {
				return err
			}
			continue
		case <-watcher.Ready():
		}
		deliveries, err := watcher.Next(ctx)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			if err := w.change(ctx, d); err != nil {
				return err
			}
		}
	}
}

// initial sends what there is, if the options ask for it, and moves from to
// where the changes go on.
func (w *watching) initial(ctx context.Context) error {
	asked := w.opts.SendInitialEvents
	if asked == nil && w.from > 0 || asked != nil && !*asked {
		return nil
	}
	now, err := w.store.store.Sync(ctx)
	if err != nil {
		return err
	}
	if w.from > now {
		retry := int(wait.Jitter(time.Second, 3).Seconds())
		return apistorage.NewTooLargeResourceVersionError(uint64(w.from), uint64(now), retry)
	}
	snapshot := w.store.collection.Snapshot()
	w.from = snapshot.Revision
	send := func(o *storage.Object) bool {
		err = w.change(ctx, storage.Delivery{Type: storage.Added, Object: o, Change: &storage.Change{Revision: o.Revision, Object: o}})
		return err == nil
	}
	if w.opts.Recursive {
		snapshot.Scan(w.key, "", w.store.selection(w.opts.Predicate), send)
	} else if o := snapshot.Get(w.key); o != nil {
		send(o)
	}
	if err == nil && asked != nil && w.opts.Predicate.AllowWatchBookmarks {
		err = w.bookmark(ctx, w.from, true)
	}
	return err
}

// bookmark sends an otherwise empty object with the revision.
func (w *watching) bookmark(ctx context.Context, revision int64, initialEnd bool) error {
	obj := w.store.newObject()
	if err := w.store.Versioner().UpdateObject(obj, uint64(revision)); err != nil {
		return fmt.Errorf("failed to propagate object resource version: %w", err)
	}
	if initialEnd {
		if err := apistorage.AnnotateInitialEventsEndBookmark(obj); err != nil {
			return err
		}
	}
	return w.send(ctx, watch.Bookmark, obj)
}

// change sends a change as the predicate sees it.
func (w *watching) change(ctx context.Context, d storage.Delivery) error {
	now, is, err := w.matching(d.Change.Object)
	if err != nil {
		return err
	}
	if w.opts.Predicate.Empty() && now != nil {
		return w.send(ctx, watch.EventType(d.Type), now)
	}
	before, was, err := w.matching(d.Change.Previous)
	if err != nil {
		if now == nil {
			return DeletedUnreadable(d.Change.Key(), err)
		}
		return err
	}
	switch {
	case is && was:
		return w.send(ctx, watch.Modified, now)
	case is:
		return w.send(ctx, watch.Added, now)
	case was:
		if err := w.store.Versioner().UpdateObject(before, uint64(d.Change.Revision)); err != nil {
			return err
		}
		return w.send(ctx, watch.Deleted, before)
	}
	return nil
}

// matching decodes an object, which may be nil, and says whether the predicate
// selects it.
func (w *watching) matching(o *storage.Object) (runtime.Object, bool, error) {
	if o == nil {
		return nil, false, nil
	}
	obj, err := w.store.Decode(o)
	if err != nil {
		return nil, false, err
	}
	if w.opts.Predicate.Empty() {
		return obj, true, nil
	}
	matches, err := w.opts.Predicate.Matches(obj)
	return obj, err == nil && matches, nil
}

func (w *watching) send(ctx context.Context, kind watch.EventType, obj runtime.Object) error {
	select {
	case w.results <- watch.Event{Type: kind, Object: obj}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
