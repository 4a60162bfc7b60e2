package reconcile

import apierrors "k8s.io/apimachinery/pkg/api/errors"

// IgnoreNotFound is the error, unless it says that an object is gone, which is what
// was wanted or no longer matters.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
