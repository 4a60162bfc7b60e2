package custom

import (
	"fmt"
	"unicode/utf8"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// A coercer does to documents what decoding into a Go type does to the others:
// it takes away what the schema doesn't know, and makes the metadata well formed.
type coercer struct {
	*definition
	stored bool // repair what older servers have stored instead of refusing it
	report bool // return the paths of what was taken away
}

func (c coercer) coerce(u *unstructured.Unstructured) (unknown []string, err error) {
	kind, _, err := unstructured.NestedString(u.Object, "kind")
	if err != nil {
		return nil, err
	}
	apiVersion, _, err := unstructured.NestedString(u.Object, "apiVersion")
	if err != nil {
		return nil, err
	}
	gv, err := runtimeschema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	var metadata *metav1.ObjectMeta
	hasMetadata := false
	if plain := !c.stored && plainMetadata(u.Object["metadata"]); !plain {
		metadata, hasMetadata, unknown, err = objectmeta.GetObjectMetaWithOptions(u.Object, objectmeta.ObjectMetaOptions{
			DropMalformedFields: c.stored, ReturnUnknownFieldPaths: c.report,
		})
		if err != nil {
			return nil, err
		}
	}
	if gv.WithKind(kind).GroupKind() == c.groupKind() { // options come this way too
		structural, err := c.schemas.structural()
		if err != nil {
			return nil, err
		}
		pruned, err := c.prune(u.Object, structural[gv.Version], c.schemas.embeds[gv.Version])
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, pruned...)
		if c.stored && metadata.Generation == 0 {
			metadata.Generation = 1
		}
	}
	// Schemas say nothing of these.
	if kind != "" {
		u.SetKind(kind)
	}
	if apiVersion != "" {
		u.SetAPIVersion(apiVersion)
	}
	if hasMetadata {
		if err := objectmeta.SetObjectMeta(u.Object, metadata); err != nil {
			return nil, err
		}
	}
	return unknown, nil
}

// plainMetadata says whether metadata is what decoding and encoding it again would
// give: that of most new objects.
func plainMetadata(metadata any) bool {
	fields, _ := metadata.(map[string]any)
	for name, value := range fields {
		switch name {
		case "name", "namespace", "generateName":
			if !plainText(value) || value == "" {
				return false
			}
		case "labels", "annotations":
			texts, _ := value.(map[string]any)
			for name, text := range texts {
				if !utf8.ValidString(name) || !plainText(text) {
					return false
				}
			}
			if len(texts) == 0 {
				return false
			}
		default:
			return false
		}
	}
	return len(fields) > 0
}

func plainText(value any) bool {
	text, ok := value.(string)
	return ok && utf8.ValidString(text)
}

func (c coercer) prune(object map[string]any, s *schema.Structural, embeds bool) (unknown []string, err error) {
	if !c.Spec.PreserveUnknownFields {
		unknown = pruning.PruneWithOptions(object, s, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: c.report})
		defaulting.PruneNonNullableNullsWithoutDefaults(object, s)
	}
	if !embeds {
		return unknown, nil // upstream would walk all of it for nothing
	}
	failure, embedded := objectmeta.CoerceWithOptions(nil, object, s, false, objectmeta.CoerceOptions{
		DropInvalidFields: c.stored, ReturnUnknownFieldPaths: c.report,
	})
	if failure != nil {
		return nil, failure
	}
	return append(unknown, embedded...), nil
}

// coercingDecoder coerces what it decodes.
type coercingDecoder struct {
	runtime.Decoder
	coercer
}

func (d coercingDecoder) Decode(data []byte, defaults *runtimeschema.GroupVersionKind, into runtime.Object) (runtime.Object, *runtimeschema.GroupVersionKind, error) {
	obj, gvk, err := d.Decoder.Decode(data, defaults, into)
	var findings []error
	if err != nil {
		strict, is := runtime.AsStrictDecodingError(err)
		if !is || obj == nil {
			return nil, gvk, err
		}
		findings = strict.Errors()
	}
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj, gvk, err
	}
	unknown, err := d.coerce(u)
	if err != nil {
		return nil, gvk, err
	}
	for _, path := range unknown {
		findings = append(findings, fmt.Errorf(`unknown field "%s"`, path))
	}
	if d.report && len(findings) > 0 {
		return obj, gvk, runtime.NewStrictDecodingError(findings)
	}
	return obj, gvk, nil
}

// coercingConvertor coerces what a conversion, which can be anybody's, gives.
type coercingConvertor struct {
	runtime.ObjectConvertor
	coercer
}

func (c coercingConvertor) Convert(in, out, context any) error {
	if err := c.ObjectConvertor.Convert(in, out, context); err != nil {
		return err
	}
	if u, ok := out.(*unstructured.Unstructured); ok {
		_, err := c.coerce(u)
		return err
	}
	return nil
}

func (c coercingConvertor) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	out, err := c.ObjectConvertor.ConvertToVersion(in, target)
	if err != nil {
		return nil, err
	}
	if u, ok := out.(*unstructured.Unstructured); ok {
		if _, err := c.coerce(u); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// A defaulter fills in the schema's defaults; what is no custom resource is
// rest's.
type defaulter struct {
	*definition
	rest runtime.ObjectDefaulter
}

func (d defaulter) Default(obj runtime.Object) {
	u, ok := obj.(runtime.Unstructured)
	if !ok || u.GetObjectKind().GroupVersionKind().GroupKind() != d.groupKind() {
		d.rest.Default(obj)
		return
	}
	if structural, err := d.schemas.structural(); err == nil { // decoding has told of an error
		defaulting.Default(u.UnstructuredContent(), structural[u.GetObjectKind().GroupVersionKind().Version])
	}
}
