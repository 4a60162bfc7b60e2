package follow

import (
	"errors"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// metadata is nil for an object that can't be read.
func (f reflected) metadata(o *storage.Object) *metav1.PartialObjectMetadata {
	if o.Err != nil {
		return nil
	}
	parse := fromJSON
	if o.Enveloped() {
		parse = fromProtobuf
	}
	metadata, err := parse(o.Body())
	if err != nil { // older servers stored what clients sent
		if metadata = f.repaired(o); metadata == nil {
			return nil
		}
	}
	metadata.ResourceVersion = strconv.FormatInt(o.Revision, 10)
	return &metav1.PartialObjectMetadata{ObjectMeta: *metadata}
}

// followed are the fields of an ObjectMeta that are told, as protobuf numbers them
// (k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto).
const followed = 1<<1 /* name */ | 1<<3 /* namespace */ | 1<<5 /* uid */ |
	1<<9 /* deletionTimestamp */ | 1<<13 /* ownerReferences */ | 1<<14 /* finalizers */

var errBroken = errors.New("the bytes of an object are not valid protobuf")

// fromProtobuf reads the metadata of any object.
func fromProtobuf(object []byte) (*metav1.ObjectMeta, error) {
	whole, err := objects.MetadataOf(object)
	if err != nil || whole == nil {
		return nil, errBroken
	}
	var room [256]byte
	part := room[:0]
	for len(whole) > 0 {
		number, _, n := protowire.ConsumeField(whole)
		if n < 0 {
			return nil, errBroken
		}
		if number < 32 && followed>>number&1 != 0 {
			part = append(part, whole[:n]...)
		}
		whole = whole[n:]
	}
	metadata := &metav1.ObjectMeta{}
	return metadata, metadata.Unmarshal(part)
}

func fromJSON(object []byte) (*metav1.ObjectMeta, error) {
	var document struct {
		Metadata struct {
			Name              string                  `json:"name"`
			Namespace         string                  `json:"namespace"`
			UID               types.UID               `json:"uid"`
			DeletionTimestamp *metav1.Time            `json:"deletionTimestamp"`
			OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
			Finalizers        []string                `json:"finalizers"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(object, &document); err != nil {
		return nil, err
	}
	d := document.Metadata
	return &metav1.ObjectMeta{
		Name: d.Name, Namespace: d.Namespace, UID: d.UID, DeletionTimestamp: d.DeletionTimestamp,
		OwnerReferences: d.OwnerReferences, Finalizers: d.Finalizers,
	}, nil
}

func (f reflected) repaired(o *storage.Object) *metav1.ObjectMeta {
	decoded, err := f.objects.Decode(o)
	if err != nil {
		return nil
	}
	m, err := meta.Accessor(decoded)
	if err != nil {
		return nil
	}
	return &metav1.ObjectMeta{
		Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUID(), DeletionTimestamp: m.GetDeletionTimestamp(),
		OwnerReferences: m.GetOwnerReferences(), Finalizers: m.GetFinalizers(),
	}
}
