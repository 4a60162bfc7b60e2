package write

import (
	"context"
	"encoding/hex"
	"fmt"
	"mime"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/warning"

	"github.com/howdah/howdah/server/resource"
)

// A decoder reads bodies of one media type into the hub version.
type decoder struct {
	lax, strict runtime.Decoder
}

// decoders are a row's, made once.
type decoders struct {
	byType   map[string]decoder
	standard string // the media type of a body without Content-Type
	accepted []string

	json   decoder
	toJSON runtime.Encoder // in this row's version, as clients see it
}

func newDecoders(res *resource.Resource) decoders {
	d := decoders{byType: map[string]decoder{}}
	for _, info := range res.Serializer.SupportedMediaTypes() {
		if d.standard == "" {
			d.standard = info.MediaType
		}
		d.accepted = append(d.accepted, info.MediaType)
		one := decoder{lax: res.Serializer.DecoderToVersion(info.Serializer, res.Hub)}
		one.strict = one.lax
		if info.StrictSerializer != nil {
			one.strict = res.Serializer.DecoderToVersion(info.StrictSerializer, res.Hub)
		}
		d.byType[info.MediaType] = one
		if info.MediaType == runtime.ContentTypeJSON {
			d.json, d.toJSON = one, res.Serializer.EncoderForVersion(info.Serializer, res.Kind.GroupVersion())
		}
	}
	return d
}

func (d decoders) forContentType(contentType string) (decoder, error) {
	if contentType == "" {
		contentType = d.standard
	}
	if one, ok := d.byType[contentType]; ok {
		return one, nil
	}
	if mediaType, _, err := mime.ParseMediaType(contentType); err == nil {
		if one, ok := d.byType[mediaType]; ok {
			return one, nil
		}
	}
	return decoder{}, negotiation.NewUnsupportedMediaTypeError(d.accepted)
}

// A fieldValidation says what becomes of unknown and duplicate fields.
type fieldValidation string

// fieldValidationOf is the request's choice; unset means warnings.
func fieldValidationOf(option string) fieldValidation {
	if option == "" {
		return metav1.FieldValidationWarn
	}
	return fieldValidation(option)
}

// looks says whether unknown and duplicate fields have to be found at all.
func (v fieldValidation) looks() bool { return v != metav1.FieldValidationIgnore }

func (d decoder) forValidation(v fieldValidation) runtime.Decoder {
	if v.looks() {
		return d.strict
	}
	return d.lax
}

// decodeObject decodes a body of this row into into, which is empty, and
// refuses versions that the row does not accept.
func (e *endpoint) decodeObject(ctx context.Context, d decoder, v fieldValidation, body []byte, into runtime.Object) (runtime.Object, error) {
	kind := e.Kind
	obj, gvk, err := d.forValidation(v).Decode(body, &kind, into)
	if err != nil {
		strict, isStrict := runtime.AsStrictDecodingError(err)
		if !isStrict || obj == nil || v != metav1.FieldValidationWarn {
			return nil, e.decodeError(err, into, gvk, body)
		}
		warnOfFields(ctx, strict.Errors())
	}
	if gv := gvk.GroupVersion(); !e.acceptsVersion(gv) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%v)", gv, e.Kind.GroupVersion()))
	}
	return obj, nil
}

func (e *endpoint) acceptsVersion(gv schema.GroupVersion) bool {
	if e.AcceptsGroupVersion != nil {
		return e.AcceptsGroupVersion.AcceptsGroupVersion(gv)
	}
	return gv == e.Kind.GroupVersion()
}

func (e *endpoint) decodeError(cause error, into runtime.Object, gvk *schema.GroupVersionKind, body []byte) error {
	kinds, _, err := e.Typer.ObjectKinds(into)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	expected := kinds[0].Kind
	if gvk != nil && gvk.Kind != "" {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", gvk.Kind, gvk.Version, expected, cause))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", expected, cause, summary(body)))
}

// summary shows the beginning of a body that was not understood.
func summary(body []byte) string {
	const limit = 30
	if len(body) == 0 {
		return "<empty>"
	}
	beginning := body[:min(len(body), limit)]
	shown := hex.EncodeToString(beginning)
	if body[0] == '{' {
		shown = string(beginning)
	}
	if len(body) > limit {
		shown += " ..."
	}
	return shown
}

// warnOfFields sends a warning for each finding of a strict decoder. The YAML
// decoder puts all of its own into one error, a line each.
func warnOfFields(ctx context.Context, findings []error) {
	for _, finding := range findings {
		text := finding.Error()
		lines, isYAML := strings.CutPrefix(strings.TrimPrefix(text, "error converting YAML to JSON: "), "yaml: unmarshal errors:\n")
		if !isYAML {
			warning.AddWarning(ctx, "", text)
			continue
		}
		for line := range strings.SplitSeq(lines, "\n") {
			warning.AddWarning(ctx, "", strings.TrimSpace(line))
		}
	}
}
