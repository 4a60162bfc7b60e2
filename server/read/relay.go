package read

import (
	"context"

	"k8s.io/apimachinery/pkg/watch"
)

// relay serves a watch of upstream's storage, for rows that keep no objects in
// the byte cache.
func (s *watching) relay(ctx context.Context, watcher watch.Interface) error {
	results := watcher.ResultChan()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.deps.Stopping:
			return errStopped
		case event, ok := <-results:
			if !ok {
				return nil
			}
			frame, err := s.events.encoded(string(event.Type), event.Object)
			if err != nil {
				return err
			}
			if err := s.sink.write(frame); err != nil {
				return err
			}
			if len(results) > 0 {
				continue
			}
			if err := s.sink.flush(); err != nil {
				return err
			}
		}
	}
}
