package builtin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/rangeallocation"
	"k8s.io/kubernetes/pkg/registry/core/service/allocator"
)

// rangeTimeout bounds one read or write of a stored range; the allocator's
// interface has no context that would.
const rangeTimeout = 30 * time.Second

// A storedRange allocates items out of a range that several servers share: a
// bitmap in one object, where each allocation is one compare-and-swap from the
// bitmap that the store has to the one with the item taken.
type storedRange struct {
	store    storage.Interface
	key      string
	resource schema.GroupResource

	allocating sync.Mutex // one allocation at a time; more would only conflict
	bits       allocator.Snapshottable
}

var (
	_ allocator.Interface           = &storedRange{}
	_ rangeallocation.RangeRegistry = &storedRange{}
)

var errTaken = errors.New("taken")

func (r *storedRange) Allocate(item int) (bool, error) {
	err := r.update(func() error {
		ok, err := r.bits.Allocate(item)
		if err == nil && !ok {
			err = errTaken
		}
		return err
	})
	if errors.Is(err, errTaken) {
		return false, nil
	}
	return err == nil, err
}

func (r *storedRange) AllocateNext() (item int, ok bool, err error) {
	err = r.update(func() error {
		if item, ok, err = r.bits.AllocateNext(); err == nil && !ok {
			err = errTaken
		}
		return err
	})
	if errors.Is(err, errTaken) {
		return item, false, nil
	}
	return item, err == nil, err
}

func (r *storedRange) Release(item int) error {
	return r.update(func() error { return r.bits.Release(item) })
}

// ForEach, Has and Free speak of the range as this server last saw it.
func (r *storedRange) ForEach(visit func(int)) { r.bits.ForEach(visit) }
func (r *storedRange) Has(item int) bool       { return r.bits.Has(item) }
func (r *storedRange) Free() int               { return r.bits.Free() }
func (r *storedRange) Destroy()                {}

// update stores the bitmap that change makes out of the stored one.
func (r *storedRange) update(change func() error) error {
	return r.swap(func(stored *api.RangeAllocation) (*api.RangeAllocation, error) {
		if stored.ResourceVersion == "" {
			return nil, fmt.Errorf("cannot allocate resources of type %s at this time", r.resource)
		}
		if err := r.bits.Restore(stored.Range, stored.Data); err != nil {
			return nil, err
		}
		if err := change(); err != nil {
			return nil, err
		}
		stored.Range, stored.Data = r.bits.Snapshot()
		return stored, nil
	})
}

// Get returns the stored range, an empty one when there is none.
func (r *storedRange) Get() (*api.RangeAllocation, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rangeTimeout)
	defer cancel()
	stored := &api.RangeAllocation{}
	err := r.store.Get(ctx, r.key, storage.GetOptions{IgnoreNotFound: true}, stored)
	return stored, storeerr.InterpretGetError(err, r.resource, "")
}

// CreateOrUpdate stores the range unless it changed since it was read.
func (r *storedRange) CreateOrUpdate(changed *api.RangeAllocation) error {
	return r.swap(func(stored *api.RangeAllocation) (*api.RangeAllocation, error) {
		if stored.ResourceVersion != "" && stored.ResourceVersion != changed.ResourceVersion {
			if changed.ResourceVersion == "" {
				return nil, apierrors.NewConflict(r.resource, "", errors.New("another caller has already initialized the resource"))
			}
			return nil, apierrors.NewConflict(r.resource, "", errors.New("the provided resource version does not match"))
		}
		if err := r.bits.Restore(changed.Range, changed.Data); err != nil {
			return nil, err
		}
		return changed, nil
	})
}

func (r *storedRange) swap(change func(stored *api.RangeAllocation) (*api.RangeAllocation, error)) error {
	r.allocating.Lock()
	defer r.allocating.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), rangeTimeout)
	defer cancel()
	err := r.store.GuaranteedUpdate(ctx, r.key, &api.RangeAllocation{}, true, nil,
		storage.SimpleUpdate(func(stored runtime.Object) (runtime.Object, error) {
			return change(stored.(*api.RangeAllocation))
		}), nil)
	return storeerr.InterpretUpdateError(err, r.resource, "")
}
