package objects

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

// Unreadable is upstream's error for an object that can't be decrypted or
// decoded; nil for one that can.
func Unreadable(o *storage.Object) error {
	if o.Err == nil {
		return nil
	}
	var sealed *storage.SealError
	what, revision := "object not decodable", o.Revision
	if errors.As(o.Err, &sealed) {
		what, revision = "data from the storage is not transformable", 0
	}
	return apistorage.NewCorruptObjError(strings.TrimPrefix(o.Key, Root), fmt.Errorf("%s revision=%d: %w", what, revision, o.Err))
}

// ReadError is Unreadable as a GET answers it.
func ReadError(o *storage.Object) error {
	if err := Unreadable(o); err != nil {
		return apierrors.NewInternalError(err)
	}
	return nil
}

// UnreadableList is upstream's answer to a list that has unreadable objects:
// nobody can say what is in them, so it names them instead. nil if it has none.
func UnreadableList(list []*storage.Object, resource schema.GroupResource) error {
	const most = 100
	var first error
	var causes []metav1.StatusCause
	for _, o := range list {
		err := Unreadable(o)
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		causes = append(causes, metav1.StatusCause{
			Type: metav1.CauseTypeUnexpectedServerResponse, Field: strings.TrimPrefix(o.Key, Root), Message: err.Error(),
		})
		if len(causes) == most {
			causes = append(causes, metav1.StatusCause{Type: metav1.CauseTypeTooMany, Message: "too many errors, the list is truncated"})
			break
		}
	}
	if first == nil {
		return nil
	}
	message := fmt.Sprintf("failed to read one or more %s from the storage: %v", resource, first)
	if n := min(len(causes), most); n > 1 {
		message = fmt.Sprintf("%s (and %d more)", message, n-1)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusInternalServerError,
		Reason:  metav1.StatusReasonStoreReadError,
		Details: &metav1.StatusDetails{Group: resource.Group, Kind: resource.Resource, Name: "list", Causes: causes},
		Message: message,
	}}
}

// DeletedUnreadable is upstream's last word to a watch that would have to tell
// of a deleted object that nobody can read.
func DeletedUnreadable(key string, err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusInternalServerError,
		Reason:  metav1.StatusReasonStoreReadError,
		Message: fmt.Sprintf("saw a DELETED event, but object data is corrupt - %s: %v", key, err),
	}}
}
