package custom

import (
	"iter"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// Follow tells to of the objects of a resource, as a reflector does, until stop
// has been called: of their metadata what the garbage collector needs. Unlike a
// watch it takes no goroutine and next to no memory, however many definitions
// there are. false: the resource is not one of a definition.
func (r *Resources) Follow(resource schema.GroupVersionResource, to cache.ReflectorStore) (stop func(), ok bool) {
	row := r.table.Lookup(resource, "")
	if row == nil || !row.Custom {
		return nil, false
	}
	return r.followers.Follow(row.Objects.Collection(), reflected{row.Objects, to}), true
}

// reflected is a [storage.Keeper] that hands on metadata.
type reflected struct {
	objects *objects.Store
	to      cache.ReflectorStore
}

func (f reflected) Replace(all iter.Seq[*storage.Object]) {
	var list []any
	for o := range all {
		if metadata := f.metadata(o); metadata != nil {
			list = append(list, metadata)
		}
	}
	_ = f.to.Replace(list, "") // the garbage collector's takes everything
}

func (f reflected) Put(o *storage.Object) {
	if metadata := f.metadata(o); metadata != nil {
		_ = f.to.Add(metadata)
	}
}

func (f reflected) Delete(last *storage.Object) {
	if metadata := f.metadata(last); metadata != nil {
		_ = f.to.Delete(metadata)
	}
}

// metadata is nil for an object that can't be read: a watch doesn't tell of it
// either.
func (f reflected) metadata(o *storage.Object) *metav1.PartialObjectMetadata {
	if o.Err != nil {
		return nil
	}
	var document struct {
		Metadata struct {
			Name              string                  `json:"name"`
			Namespace         string                  `json:"namespace"`
			UID               apitypes.UID            `json:"uid"`
			DeletionTimestamp *metav1.Time            `json:"deletionTimestamp"`
			OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
			Finalizers        []string                `json:"finalizers"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(o.Value(), &document); err != nil {
		return f.repaired(o) // older servers stored what clients sent
	}
	d := document.Metadata
	metadata := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: d.Name, Namespace: d.Namespace, UID: d.UID, DeletionTimestamp: d.DeletionTimestamp,
		OwnerReferences: d.OwnerReferences, Finalizers: d.Finalizers,
	}}
	metadata.ResourceVersion = strconv.FormatInt(o.Revision, 10)
	return metadata
}

func (f reflected) repaired(o *storage.Object) *metav1.PartialObjectMetadata {
	obj, err := f.objects.Decode(o)
	if err != nil {
		return nil
	}
	u := obj.(*unstructured.Unstructured)
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		DeletionTimestamp: u.GetDeletionTimestamp(), OwnerReferences: u.GetOwnerReferences(), Finalizers: u.GetFinalizers(),
	}}
}
