package objects

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/features"
	apistorage "k8s.io/apiserver/pkg/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"github.com/howdah/howdah/storage"
)

// Delete starts from what the cache has, so it has no use for the caller's
// suggestion. What fails on an object that may be stale is done again on the
// latest one.
func (s *Store) Delete(
	ctx context.Context, key string, out runtime.Object, preconditions *apistorage.Preconditions,
	validate apistorage.ValidateObjectFunc, _ runtime.Object, opts apistorage.DeleteOptions,
) error {
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if _, err := conversion.EnforcePtr(out); err != nil {
		return fmt.Errorf("unable to convert output object to pointer: %w", err)
	}
	broken := opts.ExpectTransformOrDecodeError &&
		utilfeature.DefaultFeatureGate.Enabled(features.AllowUnsafeMalformedObjectDeletion)
	d := deletion{s, key, out, preconditions, validate, broken}
	current, _ := s.collection.Get(key)
	for latest := false; ; {
		if err := d.check(ctx, current); err != nil {
			if latest {
				return err
			}
			fresh, syncErr := s.latest(ctx, key)
			if syncErr != nil {
				return syncErr
			}
			if revisionOf(fresh) == revisionOf(current) {
				return err
			}
			current, latest = fresh, true
			continue
		}
		revision, err := s.store.Write(ctx, storage.Write{Key: key, Expect: current.Revision})
		var conflict *storage.ConflictError
		switch {
		case errors.As(err, &conflict):
			if current, latest, err = s.afterConflict(ctx, conflict, current); err != nil {
				return err
			}
			continue
		case err != nil:
			return s.failure(err)
		case broken:
			return nil
		}
		return s.Versioner().UpdateObject(out, uint64(revision))
	}
}

// A deletion is what does not change from one try to the next.
type deletion struct {
	store         *Store
	key           string
	out           runtime.Object
	preconditions *apistorage.Preconditions
	validate      apistorage.ValidateObjectFunc
	broken        bool // the object is not expected to be readable
}

// check decodes the object into out and asks whether it may go.
func (d deletion) check(ctx context.Context, o *storage.Object) error {
	if o == nil {
		return apistorage.NewKeyNotFoundError(d.key, 0)
	}
	if err := runtime.SetZeroValue(d.out); err != nil {
		return err
	}
	obj := d.out
	err := d.store.form.decode(o, obj)
	switch {
	case err != nil && d.broken:
		obj = nil
	case err != nil:
		return err
	case d.broken:
		return apistorage.NewInvalidObjError(d.key, "unsafe deletion is not allowed because the object is decodable from storage")
	}
	if d.preconditions != nil {
		if err := d.preconditions.Check(d.key, obj); err != nil {
			return err
		}
	}
	return d.validate(ctx, obj)
}
