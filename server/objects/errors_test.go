package objects

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

func TestAPIError(t *testing.T) {
	for _, test := range []struct {
		err    error
		code   int32
		reason metav1.StatusReason
		retry  int32
	}{
		{fmt.Errorf("%w: dial", storage.ErrUnavailable), 503, metav1.StatusReasonServiceUnavailable, 1},
		{storage.ErrClosed, 503, metav1.StatusReasonServiceUnavailable, 1},
		{storage.ErrUnknownOutcome, 504, metav1.StatusReasonTimeout, 1},
		{storage.ErrCompacted, 410, metav1.StatusReasonExpired, 0},
		{storage.ErrNewEpoch, 410, metav1.StatusReasonExpired, 0},
		{storage.ErrFutureRevision, 504, metav1.StatusReasonTimeout, 1},
		{&storage.ConflictError{Key: "k", Current: 3}, 409, metav1.StatusReasonConflict, 0},
		{apistorage.NewKeyNotFoundError("k", 0), 404, metav1.StatusReasonNotFound, 0},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), 504, metav1.StatusReasonTimeout, 0},
		{apierrors.NewBadRequest("x"), 400, metav1.StatusReasonBadRequest, 0},
	} {
		err := APIError(test.err, schema.GroupResource{Resource: "pods"}, "a")
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			t.Errorf("%v: %v is no status", test.err, err)
			continue
		}
		s := status.Status()
		var retry int32
		if s.Details != nil {
			retry = s.Details.RetryAfterSeconds
		}
		if s.Code != test.code || s.Reason != test.reason || retry != test.retry {
			t.Errorf("%v: %d %s retry %d", test.err, s.Code, s.Reason, retry)
		}
	}
	if err := APIError(nil, schema.GroupResource{}, ""); err != nil {
		t.Error(err)
	}
	other := errors.New("other")
	if err := APIError(other, schema.GroupResource{}, ""); err != other {
		t.Error(err)
	}
	if err := APIError(storage.ErrFutureRevision, schema.GroupResource{}, ""); !apistorage.IsTooLargeResourceVersion(err) {
		t.Error(err)
	}
}

func TestListError(t *testing.T) {
	err := ListError(storage.ErrCompacted, schema.GroupResource{}, "/registry/pods/ns/a\x00", "/registry/pods/")
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsResourceExpired(err) {
		t.Fatal(err)
	}
	key, revision, err := apistorage.DecodeContinue(status.Status().Continue, "/registry/pods/")
	if err != nil || key != "/registry/pods/ns/a\x00" || revision != -1 {
		t.Fatal(key, revision, err)
	}
}
