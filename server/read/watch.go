package read

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	apistorage "k8s.io/apiserver/pkg/storage"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

func (e *endpoint) watchAlways(w http.ResponseWriter, r *http.Request) error {
	if _, err := encode.Negotiate(r, e.Resource); err != nil {
		return err
	}
	options, err := e.listOptions(r)
	if err != nil {
		return err
	}
	return e.watch(w, r, options)
}

// watch answers with a stream of events. Once the request is known to be well
// formed, what goes wrong is an event of the stream.
func (e *endpoint) watch(w http.ResponseWriter, r *http.Request, options *metainternal.ListOptions) error {
	if _, ok := e.Storage.(rest.Watcher); !ok {
		return apierrors.NewMethodNotSupported(e.GroupResource(), "watch")
	}
	select {
	case <-e.deps.Stopping:
		// Not a watch that ends at once, after which client-go lists everything anew.
		return apierrors.NewTooManyRequests("the server is stopping, please try again", 1)
	default:
	}
	from, err := apistorage.APIObjectVersioner{}.ParseResourceVersion(options.ResourceVersion)
	if err != nil {
		return err
	}
	events, err := e.events(r, options)
	if err != nil {
		return err
	}
	lifetime := time.Duration(float64(e.deps.MinRequestTimeout) * (1 + rand.Float64()))
	if options.TimeoutSeconds != nil && *options.TimeoutSeconds > 0 {
		lifetime = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(r.Context(), lifetime)
	defer cancel()
	s := &watching{
		endpoint: e, events: events, options: options,
		from: int64(min(from, maxRevision)), deadline: time.Now().Add(lifetime),
	}
	serve := s.serve
	if e.Objects != nil {
		s.scope = e.scope(e.namespace(r), options)
		// Before the answer begins: who sees that sees all changes after it.
		if err := s.begin(ctx); err != nil {
			serve = func(context.Context) error { return err }
		}
	} else {
		watcher, err := e.Storage.(rest.Watcher).Watch(e.inNamespace(r.WithContext(ctx)), options)
		if err != nil {
			return err
		}
		defer watcher.Stop()
		serve = func(ctx context.Context) error { return s.relay(ctx, watcher) }
	}
	if wsstream.IsWebSocketRequest(r) {
		s.overWebSocket(ctx, w, r, serve)
		return nil
	}
	sink := newHTTPSink(w, events)
	defer sink.close()
	s.sink = sink
	s.run(ctx, serve)
	return nil
}

// watching is one watch while it is served.
type watching struct {
	*endpoint
	events   *events
	sink     sink
	scope    scope
	options  *metainternal.ListOptions
	from     int64
	present  *storage.Snapshot // to begin with
	deadline time.Time
}

// errStopped ends a watch because the server stops.
var errStopped = errors.New("the server is stopping")

// run serves the stream to its end and says why it failed, if it did.
func (s *watching) run(ctx context.Context, serve func(context.Context) error) {
	err := serve(ctx)
	var lost sinkError
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, errStopped), errors.As(err, &lost):
		return
	case errors.Is(err, storage.ErrSlowWatcher), errors.Is(err, storage.ErrClosed):
		return // the client comes back and goes on from where it is
	}
	frame, err := s.events.status(s.status(err))
	if err == nil && s.sink.write(frame) == nil {
		_ = s.sink.flush() // the stream ends here in any case
	}
}

// status is the last event of a watch that fails.
func (s *watching) status(err error) *metav1.Status {
	err = objects.WatchError(err, s.GroupResource())
	var api apierrors.APIStatus
	if !errors.As(err, &api) {
		return &metav1.Status{
			Status: metav1.StatusFailure, Message: err.Error(),
			Reason: metav1.StatusReasonInternalError, Code: http.StatusInternalServerError,
		}
	}
	status := api.Status()
	return &status
}

func (s *watching) serve(ctx context.Context) error {
	if err := s.initial(ctx); err != nil {
		return err
	}
	watcher, err := s.Objects.Collection().Watch(ctx, storage.WatchOptions{
		Prefix: s.scope.prefix, Key: s.scope.key, After: s.from, Selection: s.scope.selection,
	})
	switch {
	case isFuture(err):
		return s.outcome(err, uint64(s.from))
	case err != nil:
		return err
	}
	defer watcher.Stop()
	utilflowcontrol.WatchInitialized(ctx) // from here on it costs next to nothing
	var bookmark <-chan time.Time
	var bookmarks *time.Timer
	if s.options.AllowWatchBookmarks {
		bookmarks = time.NewTimer(s.untilBookmark())
		defer bookmarks.Stop()
		bookmark = bookmarks.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.deps.Stopping:
			return errStopped
		case <-bookmark:
			if err := s.bookmark(watcher.Progress(), false); err != nil {
				return err
			}
			bookmarks.Reset(s.untilBookmark())
		case <-watcher.Ready():
			deliveries, err := watcher.Next(ctx)
			if err != nil {
				return err
			}
			if len(deliveries) == 0 {
				continue
			}
			for i := range deliveries {
				if err := s.deliver(&deliveries[i]); err != nil {
					return err
				}
			}
			if err := s.sink.flush(); err != nil {
				return err
			}
		}
	}
}

// untilBookmark is when the next bookmark is due: regularly, and shortly before
// the end, so that the client can go on from there.
func (s *watching) untilBookmark() time.Duration {
	const beforeEnd = 2 * time.Second
	next := s.deps.BookmarkInterval
	if last := time.Until(s.deadline) - beforeEnd; last < next {
		next = last
	}
	if next <= 0 {
		return time.Until(s.deadline) + time.Hour // never
	}
	return next
}

// begin finds out where the watch starts: after the revision asked for, or with
// what there is, if the options ask for it.
func (s *watching) begin(ctx context.Context) error {
	asked := s.options.SendInitialEvents
	switch {
	case asked == nil && s.from > 0:
		return nil
	case asked != nil:
		if err := s.reach(ctx, s.options.ResourceVersion); err != nil {
			return err
		}
	}
	if asked != nil && !*asked {
		if s.from == 0 {
			s.from = s.deps.Store.Revision()
		}
		return nil
	}
	s.present = s.Objects.Collection().Snapshot()
	s.from = s.present.Revision
	return nil
}

// initial sends what there is, if the watch starts with it.
func (s *watching) initial(ctx context.Context) error {
	if s.present == nil {
		return nil
	}
	if err := s.snapshot(ctx, s.present); err != nil {
		return err
	}
	s.present = nil
	if s.options.SendInitialEvents != nil && s.options.AllowWatchBookmarks {
		return s.bookmark(s.from, true)
	}
	return s.sink.flush()
}

// snapshot sends what there is as ADDED events.
func (s *watching) snapshot(ctx context.Context, snapshot *storage.Snapshot) error {
	var found []*storage.Object
	if s.scope.key != "" {
		if o := snapshot.Get(s.scope.key); o != nil && s.scope.selection.Matches(o) {
			found = append(found, o)
		}
	} else {
		snapshot.Scan(s.scope.prefix, "", s.scope.selection, func(o *storage.Object) bool {
			found = append(found, o)
			return true
		})
	}
	// Headers of tables are in the first event only, and messages of WebSockets
	// are events.
	_, oneByOne := s.sink.(*webSocketSink)
	for len(found) > 0 && (oneByOne || s.events.first) {
		frame, err := s.events.appendAdded(nil, found[0])
		if err != nil {
			return err
		}
		if err := s.sink.write(frame); err != nil {
			return err
		}
		found = found[1:]
	}
	return inOrder(ctx, len(found),
		func(dst []byte, i int) ([]byte, error) { return s.events.appendAdded(dst, found[i]) },
		s.sink.write)
}

func (s *watching) deliver(d *storage.Delivery) error {
	if frame, ok := s.events.apart(d); ok {
		return s.sink.writeParts(frame)
	}
	frame, shared, err := s.events.delivery(d)
	if err != nil {
		return err
	}
	if shared {
		return s.sink.writeShared(frame)
	}
	return s.sink.write(frame)
}

func (s *watching) bookmark(revision int64, initialEnd bool) error {
	frame, err := s.events.bookmark(revision, initialEnd)
	if err != nil {
		return err
	}
	if err := s.sink.write(frame); err != nil {
		return err
	}
	return s.sink.flush()
}
