package custom

import (
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// creater makes unstructured objects of every kind.
type creater struct{}

func (creater) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u, nil
}

// A serializer reads and writes the bodies of one definition's resources.
type serializer struct {
	*definition
	convertor  runtime.ObjectConvertor
	mediaTypes []runtime.SerializerInfo
}

func (s serializer) SupportedMediaTypes() []runtime.SerializerInfo { return s.mediaTypes }

func (s serializer) EncoderForVersion(encoder runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return versioning.NewCodec(encoder, nil, s.convertor, apiserver.Scheme, apiserver.Scheme, apiserver.Scheme, gv, nil, "custom")
}

// DecoderToVersion leaves objects in the version that they have: each row takes
// its own only.
func (s serializer) DecoderToVersion(decoder runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	c := coercer{definition: s.definition}
	if strict, ok := decoder.(interface{ IsStrict() bool }); ok {
		c.report = strict.IsStrict()
	}
	return versioning.NewCodec(nil, coercingDecoder{decoder, c}, runtime.UnsafeObjectConvertor(apiserver.Scheme),
		apiserver.Scheme, apiserver.Scheme, defaulter{s.definition, apiserver.Scheme}, nil, gv, "custom")
}

// mediaTypes are what custom resources are served in. They have no protobuf
// encoding, but Status, Table and metadata have.
func mediaTypes() []runtime.SerializerInfo {
	typer := crdserverscheme.NewUnstructuredObjectTyper()
	text := func(options json.SerializerOptions) runtime.Serializer {
		return json.NewSerializerWithOptions(json.DefaultMetaFactory, creater{}, typer, options)
	}
	all := []runtime.SerializerInfo{
		{
			MediaType: runtime.ContentTypeJSON, MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
			Serializer:       text(json.SerializerOptions{StreamingCollectionsEncoding: true}),
			PrettySerializer: text(json.SerializerOptions{Pretty: true}),
			StrictSerializer: text(json.SerializerOptions{Strict: true, StreamingCollectionsEncoding: true}),
			StreamSerializer: &runtime.StreamSerializerInfo{
				EncodesAsText: true, Serializer: text(json.SerializerOptions{}), Framer: json.Framer,
			},
		},
		{
			MediaType: runtime.ContentTypeYAML, MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
			Serializer:       text(json.SerializerOptions{Yaml: true}),
			StrictSerializer: text(json.SerializerOptions{Yaml: true, Strict: true}),
		},
		{
			MediaType: runtime.ContentTypeProtobuf, MediaTypeType: "application", MediaTypeSubType: "vnd.kubernetes.protobuf",
			Serializer: protobuf.NewSerializerWithOptions(creater{}, typer, protobuf.SerializerOptions{StreamingCollectionsEncoding: true}),
			StreamSerializer: &runtime.StreamSerializerInfo{
				Serializer: protobuf.NewRawSerializer(creater{}, typer), Framer: protobuf.LengthDelimitedFramer,
			},
		},
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.CBORServingAndStorage) {
		all = append(all, cbor.NewSerializerInfo(creater{}, typer))
	}
	return all
}
