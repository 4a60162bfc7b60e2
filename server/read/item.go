package read

import (
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// served returns the object in the row's version, without kind and apiVersion.
// The row's types must be native.
func (e *endpoint) served(o *storage.Object) (message, error) {
	if e.Exact && isProtobuf(o) {
		obj, err := e.Creater.New(e.Kind)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		m := obj.(message)
		if err := m.Unmarshal(o.Body()); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		return m, nil
	}
	hub, err := e.hub(o)
	if err != nil {
		return nil, err
	}
	obj, err := e.UnsafeConvertor.ConvertToVersion(hub, e.Kind.GroupVersion())
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return obj.(message), nil
}

// isProtobuf says whether the object is stored in protobuf, and readable: only
// protobuf has an envelope. It does not look at the value, as to touch every
// value of a large list for its size would cost much of the time of the list.
func isProtobuf(o *storage.Object) bool {
	return o.Err == nil && o.Enveloped()
}

// appendJSON appends the object in JSON as an item of a list: without kind and
// apiVersion. Where that needs a decoded object it is kept for the next time.
func (e *endpoint) appendJSON(dst []byte, o *storage.Object) ([]byte, error) {
	if out, ok := e.direct(dst, o); ok {
		return out, nil
	}
	item, err := e.deps.Store.Encoding(o, e.types.jsonKey, func() ([]byte, error) { return e.slowJSON(o) })
	return append(dst, item...), err
}

// appendJSONOnce is appendJSON for an object that nobody will ask for again.
func (e *endpoint) appendJSONOnce(dst []byte, o *storage.Object) ([]byte, error) {
	if out, ok := e.direct(dst, o); ok {
		return out, nil
	}
	item, err := e.slowJSON(o)
	return append(dst, item...), err
}

// direct makes JSON of the stored bytes themselves, if they are in the row's
// version and in the usual form.
func (e *endpoint) direct(dst []byte, o *storage.Object) ([]byte, bool) {
	if !e.Exact || !isProtobuf(o) {
		return nil, false
	}
	plan := e.types.json()
	if plan == nil {
		return nil, false
	}
	out, err := plan.Append(dst, o.Body())
	return out, err == nil
}

func (e *endpoint) slowJSON(o *storage.Object) ([]byte, error) {
	obj, err := e.served(o)
	if err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}

// protobuf is the object's message in protobuf, without an envelope.
func (e *endpoint) protobuf(o *storage.Object) ([]byte, error) {
	if e.Exact && isProtobuf(o) {
		return o.Body(), nil
	}
	return e.deps.Store.Encoding(o, e.types.protobufKey, func() ([]byte, error) {
		obj, err := e.served(o)
		if err != nil {
			return nil, err
		}
		return obj.(interface{ Marshal() ([]byte, error) }).Marshal()
	})
}

// metadata is the object's metadata in protobuf.
func (e *endpoint) metadata(o *storage.Object) ([]byte, error) {
	if o.Err != nil {
		return nil, objects.ReadError(o)
	}
	return objects.MetadataOf(o.Body())
}

// appendMetadata appends the object's metadata in JSON.
func (e *endpoint) appendMetadata(dst []byte, o *storage.Object) ([]byte, error) {
	message, err := e.metadata(o)
	if err != nil {
		return nil, err
	}
	if plan := e.types.metadata(); plan != nil {
		if out, err := plan.Append(dst, message); err == nil {
			return out, nil
		}
	}
	var m metav1.ObjectMeta
	if err := m.Unmarshal(message); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	b, err := json.Marshal(&m)
	return append(dst, b...), err
}
