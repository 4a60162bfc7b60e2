package write

import (
	"bytes"
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// replicas are the bodies by which objects were created of late. Controllers create
// many by the same one, since the pods of a ReplicaSet differ in nothing until the
// server names them: decoding such a body, and finding out which fields its writer
// owns, is needed once. That was a tenth of what creating them costs.
type replicas struct {
	seed maphash.Seed
	of   [16]atomic.Pointer[replica] // by the hash of the body; the last one stays
}

// A replica is what is known of one body.
type replica struct {
	body   []byte
	object atomic.Pointer[runtime.Object]            // as decoded; nil until the body came again
	owned  atomic.Pointer[metav1.ManagedFieldsEntry] // the writer's; nil likewise
}

// longestReplica in bytes bounds what is kept.
const longestReplica = 64 << 10

func newReplicas() *replicas { return &replicas{seed: maphash.MakeSeed()} }

// find returns what is known of a body if it came before, and notes it otherwise.
func (r *replicas) find(body []byte) *replica {
	if len(body) == 0 || len(body) > longestReplica {
		return nil
	}
	place := &r.of[maphash.Bytes(r.seed, body)%uint64(len(r.of))]
	if known := place.Load(); known != nil && bytes.Equal(known.body, body) {
		return known
	}
	place.Store(&replica{body: body})
	return nil
}

// decodeCreated is decodeObject for a body of which something may be known.
// Protobuf says all by itself: what else decodes may warn of fields.
func (e *endpoint) decodeCreated(ctx context.Context, contentType string, d decoder, v fieldValidation, body []byte, into runtime.Object) (runtime.Object, *replica, error) {
	var known *replica
	if contentType == runtime.ContentTypeProtobuf {
		known = e.replicas.find(body)
	}
	if known != nil {
		if object := known.object.Load(); object != nil {
			return (*object).DeepCopyObject(), known, nil
		}
	}
	object, err := e.decodeObject(ctx, d, v, body, into)
	if err == nil && known != nil {
		kept := object.DeepCopyObject()
		known.object.Store(&kept)
	}
	return object, known, err
}

// trackCreated is track for a new object, made by a body of which something may be
// known.
func (e *endpoint) trackCreated(empty, object runtime.Object, manager string, known *replica) runtime.Object {
	accessor, err := meta.Accessor(object)
	if known == nil || err != nil || accessor.GetManagedFields() != nil {
		return e.track(empty, object, manager)
	}
	if owned := known.owned.Load(); owned != nil && owned.Manager == manager {
		entry := *owned.DeepCopy()
		entry.Time = &metav1.Time{Time: time.Now().UTC()}
		accessor.SetManagedFields([]metav1.ManagedFieldsEntry{entry})
		return object
	}
	object = e.track(empty, object, manager)
	if accessor, err := meta.Accessor(object); err == nil {
		if all := accessor.GetManagedFields(); len(all) == 1 {
			known.owned.Store(all[0].DeepCopy())
		}
	}
	return object
}
