package objects

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

// GuaranteedUpdate starts from what the cache has, so it has no use for the
// caller's suggestion. What fails, or changes nothing, on an object that may be
// stale is done again on the latest one.
func (s *Store) GuaranteedUpdate(
	ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *apistorage.Preconditions, tryUpdate apistorage.UpdateFunc, _ runtime.Object,
) error {
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if _, err := conversion.EnforcePtr(destination); err != nil {
		return fmt.Errorf("unable to convert output object to pointer: %w", err)
	}
	u := update{s, key, destination, ignoreNotFound, preconditions, tryUpdate}
	current, _ := s.collection.Get(key)
	for latest := false; ; {
		p, err := u.propose(current)
		if (err != nil || p.unchanged) && !latest {
			fresh, syncErr := s.latest(ctx, key)
			if syncErr != nil {
				return syncErr
			}
			latest = true
			if revisionOf(fresh) != revisionOf(current) {
				current = fresh
				continue
			}
		}
		if err != nil {
			return err
		}
		if p.unchanged {
			// Written in a form that is no longer chosen, as after a change of
			// the encryption key, it is written again.
			stale, err := s.store.Stale(ctx, key)
			if err != nil {
				return s.failure(err)
			}
			p.unchanged = !stale
		}
		if p.unchanged {
			return s.form.restore(p.data, p.versioned, current.Revision, destination)
		}
		revision, err := s.store.Write(ctx, storage.Write{
			Key: key, Value: p.data, Expect: revisionOf(current), Expires: expiry(p.ttl),
		})
		var conflict *storage.ConflictError
		switch {
		case errors.As(err, &conflict):
			if current, latest, err = s.afterConflict(ctx, conflict, current); err != nil {
				return err
			}
			continue
		case err != nil:
			return s.failure(err)
		}
		s.remember(ctx, key, revision)
		return s.form.restore(p.data, p.versioned, revision, destination)
	}
}

// afterConflict returns what a write that lost goes on with, and whether that is
// sure to be the latest.
func (s *Store) afterConflict(ctx context.Context, conflict *storage.ConflictError, tried *storage.Object) (*storage.Object, bool, error) {
	o, _ := s.collection.Get(conflict.Key)
	if o != nil && conflict.Current > 0 && o.Revision >= conflict.Current && o.Revision != revisionOf(tried) {
		return o, false, nil
	}
	o, err := s.latest(ctx, conflict.Key)
	return o, true, err
}

// An update is what does not change from one try to the next.
type update struct {
	store          *Store
	key            string
	destination    runtime.Object
	ignoreNotFound bool
	preconditions  *apistorage.Preconditions
	change         apistorage.UpdateFunc
}

// A proposal is what one try wants to write.
type proposal struct {
	data      []byte
	versioned runtime.Object
	ttl       uint64
	unchanged bool // what is stored is the same
}

func (u update) propose(current *storage.Object) (proposal, error) {
	if current == nil && !u.ignoreNotFound {
		return proposal{}, apistorage.NewKeyNotFoundError(u.key, 0)
	}
	obj := likeness(u.destination)
	if current != nil {
		if err := u.store.form.decode(current, obj); err != nil {
			return proposal{}, err
		}
	}
	if err := u.preconditions.Check(u.key, obj); err != nil {
		return proposal{}, err
	}
	changed, ttl, err := u.change(obj, apistorage.ResponseMeta{ResourceVersion: uint64(revisionOf(current))})
	if err != nil {
		return proposal{}, err
	}
	if err := u.store.Versioner().PrepareObjectForStorage(changed); err != nil {
		return proposal{}, fmt.Errorf("prepare %s for storage: %w", u.key, err)
	}
	var p proposal
	if p.data, p.versioned, err = u.store.form.encode(changed); err != nil {
		return proposal{}, err
	}
	if ttl != nil {
		p.ttl = *ttl
	}
	p.unchanged = current != nil && !foreign(current) && sameValue(p.data, current)
	return p, nil
}

// likeness is an empty object of the same type.
func likeness(obj runtime.Object) runtime.Object {
	if u, ok := obj.(runtime.Unstructured); ok {
		return u.NewEmptyInstance()
	}
	return reflect.New(reflect.TypeOf(obj).Elem()).Interface().(runtime.Object)
}
