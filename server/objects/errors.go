package objects

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	apistorage "k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"

	"github.com/howdah/howdah/storage"
)

// Upstream's words for history that is gone.
const (
	listExpired     = "The resourceVersion for the provided list is too old."
	watchExpired    = "The resourceVersion for the provided watch is too old."
	continueExpired = "The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list."
)

// retrySeconds is when a client is told to ask again while the database is away.
const retrySeconds = 1

// APIError turns an error of the store, or of upstream's storage, into the API
// error that clients get; other errors stay as they are. The name may be empty.
func APIError(err error, resource schema.GroupResource, name string) error {
	var status apierrors.APIStatus
	var conflict *storage.ConflictError
	var sealed *storage.SealError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return err
	case errors.As(err, &conflict):
		return apierrors.NewConflict(resource, name, errors.New(registry.OptimisticLockErrorMsg))
	case errors.As(err, &sealed):
		return apierrors.NewInternalError(sealed)
	case errors.Is(err, storage.ErrUnknownOutcome):
		return apierrors.NewTimeoutError(err.Error()+"; read the object before you repeat it", retrySeconds)
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, storage.ErrClosed):
		return unavailable(err)
	case errors.Is(err, storage.ErrCompacted):
		return apierrors.NewResourceExpired(listExpired)
	case errors.Is(err, storage.ErrNewEpoch):
		return apierrors.NewResourceExpired(err.Error() + "; list again")
	case errors.Is(err, storage.ErrFutureRevision):
		return tooLarge(err)
	case errors.Is(err, storage.ErrSlowWatcher):
		return apierrors.NewTimeoutError(err.Error()+"; watch again from the last resourceVersion seen", 0)
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	}
	return storeerr.InterpretGetError(err, resource, name)
}

func unavailable(err error) error {
	e := apierrors.NewServiceUnavailable(err.Error())
	e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return e
}

func tooLarge(err error) error {
	e := apierrors.NewTimeoutError("Too large resource version: "+err.Error(), retrySeconds)
	e.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return e
}

// WatchError is APIError for a watch.
func WatchError(err error, resource schema.GroupResource) error {
	if errors.Is(err, storage.ErrCompacted) {
		return apierrors.NewResourceExpired(watchExpired)
	}
	return APIError(err, resource, "")
}

// ListError is APIError for a list at an old revision. The key to continue from
// is empty for a list that starts; otherwise the error has a token with which
// the client can go on at the present.
func ListError(err error, resource schema.GroupResource, continueKey, keyPrefix string) error {
	if !errors.Is(err, storage.ErrCompacted) || continueKey == "" {
		return APIError(err, resource, "")
	}
	const present = -1
	token, encodeErr := apistorage.EncodeContinue(continueKey, keyPrefix, present)
	if encodeErr != nil {
		return apierrors.NewResourceExpired(listExpired)
	}
	e := apierrors.NewResourceExpired(continueExpired)
	e.ErrStatus.ListMeta.Continue = token
	return e
}

// failure is what the methods of upstream's interface return for an error of the
// store, such that upstream's registry hands on an API error.
func (s *Store) failure(err error) error { return APIError(err, s.resource, "") }

// watchStatus is the last event of a watch that fails.
func watchStatus(err error, resource schema.GroupResource) *metav1.Status {
	err = WatchError(err, resource)
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	out := status.Status()
	return &out
}
