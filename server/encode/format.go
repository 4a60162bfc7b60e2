package encode

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1beta1 "k8s.io/apimachinery/pkg/apis/meta/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/util/apihelpers"

	"github.com/howdah/howdah/server/resource"
)

// A Format is what a client and a row agreed on for an answer.
type Format struct {
	// Accepted is the serializer; its Serializer is the pretty one if Pretty.
	Accepted runtime.SerializerInfo
	Pretty   bool
	// Target is the kind to turn objects into; nil: objects stay what they are.
	Target *schema.GroupVersionKind
}

// Negotiate chooses the format for an answer of the row, or fails with 406.
func Negotiate(r *http.Request, res *resource.Resource) (Format, error) {
	options, info, err := negotiation.NegotiateOutputMediaType(r, res.Serializer, restrictions{res})
	if err != nil {
		return Format{}, err
	}
	pretty := info.PrettySerializer != nil && info.Serializer == info.PrettySerializer
	return Format{Accepted: info, Pretty: pretty, Target: options.Convert}, nil
}

// NegotiateStream chooses the format for a watch of the row.
func NegotiateStream(r *http.Request, res *resource.Resource) (Format, error) {
	f, err := Negotiate(r, res)
	if err != nil {
		return f, err
	}
	f.Pretty = false
	f.Accepted, err = negotiation.NegotiateOutputMediaTypeStream(r, res.Serializer, restrictions{res})
	return f, err
}

// MediaType is the content type of an answer.
func (f Format) MediaType() string { return f.Accepted.MediaType }

// StreamMediaType is the content type of a watch.
func (f Format) StreamMediaType() string {
	switch f.Accepted.MediaType {
	case runtime.ContentTypeJSON:
		return runtime.ContentTypeJSON
	case runtime.ContentTypeCBOR:
		return runtime.ContentTypeCBORSequence
	}
	return f.Accepted.MediaType + ";stream=watch"
}

// As says whether objects become the kind: "Table", "PartialObjectMetadata",
// "PartialObjectMetadataList", or "" for what they are.
func (f Format) As(kind string) bool {
	if f.Target == nil {
		return kind == ""
	}
	return f.Target.Kind == kind
}

// version is what answers are in after [Format.Transform], with what encodes it.
func (f Format) version(res *resource.Resource) (schema.GroupVersion, runtime.NegotiatedSerializer) {
	if f.Target == nil {
		return res.Kind.GroupVersion(), res.Serializer
	}
	return f.Target.GroupVersion(), apihelpers.GetMetaInternalVersionCodecs()
}

// Encoder writes objects of the row in the format, after [Format.Transform].
func (f Format) Encoder(res *resource.Resource) (runtime.Encoder, error) {
	if f.Target == nil {
		return res.Serializer.EncoderForVersion(runtime.UseNondeterministicEncoding(f.Accepted.Serializer), res.Kind.GroupVersion()), nil
	}
	codecs := apihelpers.GetMetaInternalVersionCodecs()
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), f.Accepted.MediaType)
	if !ok {
		_, supported := negotiation.MediaTypesForSerializer(codecs)
		return nil, negotiation.NewNotAcceptableError(supported)
	}
	if f.Pretty && info.PrettySerializer != nil {
		info.Serializer = info.PrettySerializer
	}
	return codecs.EncoderForVersion(runtime.UseNondeterministicEncoding(info.Serializer), f.Target.GroupVersion()), nil
}

// restrictions say what the row's answers can be turned into.
type restrictions struct{ res *resource.Resource }

func (r restrictions) AllowsMediaTypeTransform(mimeType, mimeSubType string, target *schema.GroupVersionKind) bool {
	if target == nil {
		return true
	}
	if !isMeta(target.GroupVersion()) {
		return false
	}
	switch target.Kind {
	case "Table":
		return r.res.Table != nil && mimeType == "application" && (mimeSubType == "json" || mimeSubType == "yaml")
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

func (restrictions) AllowsServerVersion(version string) bool {
	return version == metav1.SchemeGroupVersion.Version
}

func (restrictions) AllowsStreamSchema(schema string) bool { return schema == "watch" }

func isMeta(gv schema.GroupVersion) bool {
	return gv == metav1.SchemeGroupVersion || gv == metav1beta1.SchemeGroupVersion
}
