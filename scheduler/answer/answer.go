// Package answer owns what an API's answer to a write says: whether it is certain
// what became of it.
package answer

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Refused tells whether an error is the server's word that nothing was done.
// After other errors nobody knows.
func Refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false // the connection broke, or time was over
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && !apierrors.IsTooManyRequests(err) && !apierrors.IsTimeout(err)
}
