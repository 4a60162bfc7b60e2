package reader

import (
	"bytes"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// codecs are others, but for how objects of the kinds are decoded from protobuf.
type codecs struct {
	runtime.NegotiatedSerializer
	kinds runtime.ObjectCreater
}

// SupportedMediaTypes implements [runtime.NegotiatedSerializer].
func (c codecs) SupportedMediaTypes() []runtime.SerializerInfo {
	var all []runtime.SerializerInfo
	for _, info := range c.NegotiatedSerializer.SupportedMediaTypes() {
		if info.MediaType == runtime.ContentTypeProtobuf && info.StreamSerializer != nil {
			info.Serializer = objects{info.Serializer, c.kinds}
			stream := *info.StreamSerializer
			stream.Serializer = events{stream.Serializer}
			info.StreamSerializer = &stream
		}
		all = append(all, info)
	}
	return all
}

// The numbers of fields: of metav1.WatchEvent, runtime.RawExtension,
// runtime.Unknown, and of what has metadata and metadata itself.
const (
	eventType, eventObject = 1, 2
	extensionRaw           = 1
	unknownType            = 1
	unknownRaw             = 2
	objectMeta             = 1
	metaManagedFields      = 17
)

// errOther leaves it to client-go, and to its words if it is an error.
var errOther = errors.New("not as usual")

// events decode an event into what points into the data: client-go decodes the
// object of an event before it reads the next one.
type events struct{ runtime.Serializer }

// Decode implements [runtime.Decoder].
func (e events) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if event, ok := into.(*metav1.WatchEvent); ok {
		if kind, object, err := parse(data); err == nil {
			event.Type, event.Object.Raw = kind, object
			return event, defaults, nil
		}
	}
	return e.Serializer.Decode(data, defaults, into)
}

// parse takes an event apart.
func parse(data []byte) (kind string, object []byte, err error) {
	err = fields(data, func(number protowire.Number, value, _ []byte) error {
		switch {
		case number == eventType && value != nil:
			kind = known(value)
		case number == eventObject && value != nil:
			return fields(value, func(number protowire.Number, value, _ []byte) error {
				if number != extensionRaw || value == nil {
					return errOther
				}
				object = value
				return nil
			})
		default:
			return errOther
		}
		return nil
	})
	if err == nil && (kind == "" || object == nil) {
		err = errOther
	}
	return kind, object, err
}

// known is a string that is there already.
func known(kind []byte) string {
	for _, one := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted, watch.Bookmark, watch.Error} {
		if string(kind) == string(one) {
			return string(one)
		}
	}
	return string(kind)
}

// objects decode an object of any kind from where it stands in the data.
type objects struct {
	runtime.Serializer
	kinds runtime.ObjectCreater
}

var protobufMagic = []byte("k8s\x00")

// Decode implements [runtime.Decoder].
func (o objects) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if envelope, ok := bytes.CutPrefix(data, protobufMagic); ok && defaults == nil && into == nil {
		if object, kind, err := o.decode(envelope); err == nil {
			return object, kind, nil
		}
	}
	return o.Serializer.Decode(data, defaults, into)
}

func (o objects) decode(envelope []byte) (runtime.Object, *schema.GroupVersionKind, error) {
	var raw []byte
	var typed runtime.TypeMeta
	err := fields(envelope, func(number protowire.Number, value, _ []byte) error {
		switch {
		case value == nil:
			return errOther
		case number == unknownType:
			return typed.Unmarshal(value)
		case number == unknownRaw:
			raw = value
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	kind := schema.FromAPIVersionAndKind(typed.APIVersion, typed.Kind)
	object, err := o.kinds.New(kind)
	if err != nil {
		return nil, nil, err
	}
	if err := unmarshal(object, raw); err != nil {
		return nil, nil, err
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	return object, &kind, nil
}

// A message adds what it unmarshals to what it has.
type message interface{ Unmarshal([]byte) error }

// unmarshal leaves out managedFields.
func unmarshal(object runtime.Object, raw []byte) error {
	whole, ok := object.(message)
	if !ok {
		return errOther
	}
	accessor, ok := object.(metav1.ObjectMetaAccessor)
	if !ok {
		return whole.Unmarshal(raw)
	}
	meta, ok := accessor.GetObjectMeta().(*metav1.ObjectMeta)
	if !ok {
		return whole.Unmarshal(raw)
	}
	number, kind, n := protowire.ConsumeTag(raw)
	if n < 0 || number != objectMeta || kind != protowire.BytesType {
		return errOther
	}
	value, size := protowire.ConsumeBytes(raw[n:])
	if size < 0 {
		return errOther
	}
	if err := without(value, metaManagedFields, meta); err != nil {
		return err
	}
	return whole.Unmarshal(raw[n+size:])
}

// without unmarshals the pieces of data between fields of the number.
func without(data []byte, number protowire.Number, into message) error {
	start, end := 0, 0
	err := fields(data, func(n protowire.Number, value, field []byte) error {
		end += len(field)
		switch {
		case n != number:
			return nil
		case value == nil:
			return errOther
		}
		err := into.Unmarshal(data[start : end-len(field)])
		start = end
		return err
	})
	if err != nil {
		return err
	}
	return into.Unmarshal(data[start:])
}

// fields visits the fields of a message: what they say if it is bytes, or nil, and
// all of the field.
func fields(data []byte, visit func(number protowire.Number, value, field []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(data[n : n+size])
		}
		if err := visit(number, value, data[:n+size]); err != nil {
			return err
		}
		data = data[n+size:]
	}
	return nil
}
