package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

// A form is how the objects of one resource are encoded in the database.
type form struct {
	codec  runtime.Codec
	kind   schema.GroupVersionKind                               // of what is stored; if a scheme has it
	stored runtime.Object                                        // an empty one
	native *native                                               // nil: everything goes through codec
	reread func(data []byte, u *unstructured.Unstructured) error // as of [Config]
}

// native is the short way for types of a scheme that have protobuf encodings:
// one conversion, one defaulting and one marshalling, with nothing in between.
type native struct {
	scheme    *runtime.Scheme
	convertor runtime.ObjectConvertor // shares memory between its in and out
	versioner runtime.GroupVersioner
	hub       schema.GroupVersion
	typeMeta  []byte // as the envelope has it
	encoder   runtime.EncoderWithAllocator
}

type protobufMessage interface {
	runtime.ProtobufMarshaller
	Unmarshal([]byte) error
}

// newForm takes the short way if scheme is given and has protobuf encodings of
// the type. example is an object of the hub type.
func newForm(codec runtime.Codec, versioner runtime.GroupVersioner, scheme *runtime.Scheme, example runtime.Object) (form, error) {
	f := form{codec: codec}
	if scheme == nil {
		return f, nil
	}
	kinds, _, err := scheme.ObjectKinds(example)
	if err != nil {
		return f, err
	}
	var ok bool
	if f.kind, ok = versioner.KindForGroupVersionKinds(kinds); !ok {
		return f, fmt.Errorf("%T has no storage version", example)
	}
	if f.stored, err = scheme.New(f.kind); err != nil {
		return f, err
	}
	_, marshals := f.stored.(protobufMessage)
	_, nests := f.stored.(runtime.NestedObjectEncoder) // only the codec knows how
	if !marshals || nests {
		return f, nil
	}
	typeMeta, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{
		APIVersion: f.kind.GroupVersion().String(), Kind: f.kind.Kind,
	}}).Marshal()
	if err != nil {
		return f, err
	}
	r := wireReader{buf: typeMeta}
	r.next()
	f.native = &native{
		scheme: scheme, convertor: runtime.UnsafeObjectConvertor(scheme), versioner: versioner,
		hub: kinds[0].GroupVersion(), typeMeta: r.value, encoder: protobuf.NewSerializer(nil, nil),
	}
	return f, nil
}

// owns says whether an object whose envelope has this type is in the storage version.
func (f form) owns(typeMeta []byte) bool {
	return f.native == nil || bytes.Equal(typeMeta, f.native.typeMeta)
}

// encode returns the object's stored form, and the object in the storage version,
// which shares memory with obj; nil if that was not needed. Fields of obj may be
// defaulted on the way.
func (f form) encode(obj runtime.Object) ([]byte, runtime.Object, error) {
	if f.native == nil {
		data, err := runtime.Encode(f.codec, obj)
		if f.reread == nil {
			return data, nil, err
		}
		return data, obj, err
	}
	versioned, err := f.native.convertor.ConvertToVersion(obj, f.native.versioner)
	if err != nil {
		return nil, nil, err
	}
	f.native.scheme.Default(versioned)
	var b buffer
	if err := f.native.encoder.EncodeWithAllocator(versioned, &b, &b); err != nil {
		return nil, nil, err
	}
	return b.data, versioned, nil
}

// buffer takes over the one piece of memory that an encoder writes into.
type buffer struct{ data []byte }

func (b *buffer) Allocate(n uint64) []byte { return make([]byte, n) }

func (b *buffer) Write(p []byte) (int, error) {
	if b.data == nil {
		b.data = p
		return len(p), nil
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

var _ io.Writer = (*buffer)(nil)

// decode sets into, a hub object or one of another type that the codec decodes
// into, to the object, with its resourceVersion and defaults.
func (f form) decode(o *storage.Object, into runtime.Object) error {
	if o.Err != nil { // Value is what is stored
		var sealed *storage.SealError
		if errors.As(o.Err, &sealed) {
			return Unreadable(o)
		}
		if err := f.decodeBytes(o.Value(), into); err != nil {
			return err
		}
		return apistorage.APIObjectVersioner{}.UpdateObject(into, uint64(o.Revision))
	}
	if f.native == nil {
		return f.decodeBytes(o.Value(), into)
	}
	return f.decodeBody(o.Body(), into)
}

// decodeBody is decode of a message.
func (f form) decodeBody(body []byte, into runtime.Object) error {
	object, err := f.unmarshal(body)
	if err != nil {
		return err
	}
	return f.native.convertor.Convert(object, into, f.native.hub)
}

// decodeStored returns the object in the storage version, with its
// resourceVersion and defaults.
func (f form) decodeStored(o *storage.Object) (runtime.Object, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	if f.native == nil {
		return nil, fmt.Errorf("%s is not of a type that protobuf encodes", o.Key)
	}
	return f.unmarshal(o.Body())
}

// unmarshal returns a message's object in the storage version, with defaults.
func (f form) unmarshal(body []byte) (runtime.Object, error) {
	object, err := f.native.scheme.New(f.kind)
	if err != nil {
		return nil, err
	}
	if err := object.(protobufMessage).Unmarshal(body); err != nil {
		return nil, err
	}
	f.native.scheme.Default(object)
	return object, nil
}

func (f form) decodeBytes(stored []byte, into runtime.Object) error {
	out, _, err := f.codec.Decode(stored, nil, into)
	if err != nil {
		return err
	}
	if out != into {
		return fmt.Errorf("decoded a %T, wanted a %T", out, into)
	}
	return nil
}

// restore sets into to what decoding data at the revision would give. versioned
// is what encode returned with data.
func (f form) restore(data []byte, versioned runtime.Object, revision int64, into runtime.Object) error {
	switch {
	case versioned == nil:
		if err := f.decodeBytes(data, into); err != nil {
			return err
		}
	case f.native == nil:
		if err := f.copyDocument(data, versioned, into); err != nil {
			return err
		}
	default:
		// What is left from before would shine through where the conversion
		// leaves a field alone.
		reflect.ValueOf(into).Elem().SetZero()
		if err := f.native.convertor.Convert(versioned, into, f.native.hub); err != nil {
			return err
		}
	}
	return apistorage.APIObjectVersioner{}.UpdateObject(into, uint64(revision))
}

// copyDocument shares all that the two don't differ in, which is the metadata.
func (f form) copyDocument(data []byte, from, to runtime.Object) error {
	written, ok := from.(*unstructured.Unstructured)
	into, is := to.(*unstructured.Unstructured)
	if !ok || !is {
		return fmt.Errorf("%T and %T are not both documents", from, to)
	}
	into.Object = maps.Clone(written.Object)
	if metadata, ok := into.Object["metadata"].(map[string]any); ok {
		into.Object["metadata"] = maps.Clone(metadata)
	}
	return f.reread(data, into)
}
