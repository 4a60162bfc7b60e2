package write

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/server/resource"
)

// within calls what may convert objects by a webhook, for which it waits no longer
// than ctx lasts.
func (e *endpoint) within(ctx context.Context, f func() (runtime.Object, error)) (runtime.Object, error) {
	if !e.Hooked {
		return f()
	}
	return resource.Within(ctx, f)
}

// outcome is what a change comes to: a change that ended in an error after its
// time was over timed out, and a Status that does not say success is an error.
//
// The change runs in the request's own goroutine: the store and the admission
// webhooks give up when ctx ends, so nobody has to wait in their place.
func outcome(ctx context.Context, result runtime.Object, err error) (runtime.Object, error) {
	if err != nil {
		if ctx.Err() != nil {
			return nil, apierrors.NewTimeoutError(fmt.Sprintf("request did not complete within requested timeout - %s", ctx.Err()), 0)
		}
		return nil, err
	}
	if status, ok := result.(*metav1.Status); ok && status.Status != metav1.StatusSuccess {
		return nil, apierrors.FromObject(status)
	}
	return result, nil
}
