package custom

import (
	"math"
	"slices"
	"unicode/utf8"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// A proof shows of a value that it is valid by a schema, without making anything
// of it. Upstream's validation makes a validator of each value, which is a tenth
// of what creating an object costs. It errs on the side of no: whatever it can't
// show, upstream has to say.
type proof struct {
	unsure   bool // the schema has what is not understood here
	types    []string
	nullable bool
	format   string

	enum                 []string // nil: any value
	pattern              string
	minLength, maxLength *int64

	minimum, maximum           *float64 // whole numbers
	aboveMinimum, belowMaximum bool     // themselves excluded

	properties                   map[string]*proof
	required                     []string
	closed                       bool   // no others
	others                       *proof // nil: anything
	minProperties, maxProperties *int64

	items              *proof
	minItems, maxItems *int64
}

func newProof(s *spec.Schema) *proof {
	p := &proof{
		types: s.Type, nullable: s.Nullable, format: s.Format,
		pattern: s.Pattern, minLength: s.MinLength, maxLength: s.MaxLength,
		minimum: s.Minimum, maximum: s.Maximum, aboveMinimum: s.ExclusiveMinimum, belowMaximum: s.ExclusiveMaximum,
		required: s.Required, minProperties: s.MinProperties, maxProperties: s.MaxProperties,
		minItems: s.MinItems, maxItems: s.MaxItems,
	}
	p.unsure = len(s.AllOf)+len(s.AnyOf)+len(s.OneOf)+len(s.Dependencies)+len(s.PatternProperties) > 0 || s.Not != nil ||
		s.AdditionalItems != nil || s.UniqueItems || s.MultipleOf != nil || s.Ref.String() != "" || !whole(s.Minimum) || !whole(s.Maximum)
	for _, value := range s.Enum {
		text, ok := value.(string)
		if !ok {
			p.unsure = true
		}
		p.enum = append(p.enum, text)
	}
	if len(s.Properties) > 0 {
		p.properties = make(map[string]*proof, len(s.Properties))
	}
	for name, property := range s.Properties {
		p.properties[name] = newProof(&property)
	}
	if a := s.AdditionalProperties; a != nil {
		p.closed = !a.Allows
		if a.Schema != nil {
			p.others = newProof(a.Schema)
		}
	}
	if s.Items != nil {
		p.unsure = p.unsure || len(s.Items.Schemas) > 0
		if s.Items.Schema != nil {
			p.items = newProof(s.Items.Schema)
		}
	}
	return p
}

// whole says whether a limit is none, or one that is the same for all types of numbers.
func whole(limit *float64) bool {
	return limit == nil || *limit == math.Trunc(*limit) && math.Abs(*limit) < 1<<53
}

// holds says whether the value certainly is valid.
func (p *proof) holds(value any) bool {
	if p.unsure {
		return false
	}
	switch value := value.(type) {
	case nil:
		return (p.nullable || len(p.types) == 0) && p.enum == nil
	case string:
		return p.is("string") && p.text(value)
	case bool:
		return p.is("boolean") && p.format == "" && p.enum == nil
	case int64:
		return (p.is("integer") || p.is("number")) && p.integer(value) && p.enum == nil
	case float64:
		return p.is("number") && p.format == "" && within(value, p) && p.enum == nil
	case map[string]any:
		return p.is("object") && p.format == "" && p.object(value) && p.enum == nil
	case []any:
		return p.is("array") && p.format == "" && p.array(value) && p.enum == nil
	}
	return false
}

func (p *proof) is(name string) bool { return len(p.types) == 0 || slices.Contains(p.types, name) }

func (p *proof) text(value string) bool {
	if p.enum != nil && !slices.Contains(p.enum, value) {
		return false
	}
	if p.minLength != nil || p.maxLength != nil {
		if !between(utf8.RuneCountInString(value), p.minLength, p.maxLength) {
			return false
		}
	}
	if p.pattern != "" && validate.Pattern("", "", value, p.pattern) != nil {
		return false
	}
	return p.format == "" || len(p.types) == 1 && (!strfmt.Default.ContainsName(p.format) || strfmt.Default.Validates(p.format, value))
}

func (p *proof) integer(value int64) bool {
	switch {
	case p.format == "":
	case len(p.types) != 1 || p.types[0] != "integer":
		return false
	case p.format == "int32":
		if value != int64(int32(value)) {
			return false
		}
	case p.format != "int64":
		return false
	}
	const exact = 1 << 53
	return p.minimum == nil && p.maximum == nil || -exact < value && value < exact && within(float64(value), p)
}

func within(value float64, p *proof) bool {
	return (p.minimum == nil || value > *p.minimum || value == *p.minimum && !p.aboveMinimum) &&
		(p.maximum == nil || value < *p.maximum || value == *p.maximum && !p.belowMaximum)
}

func between(size int, least, most *int64) bool {
	return (least == nil || int64(size) >= *least) && (most == nil || int64(size) <= *most)
}

func (p *proof) object(value map[string]any) bool {
	if !between(len(value), p.minProperties, p.maxProperties) {
		return false
	}
	for _, name := range p.required {
		if _, ok := value[name]; !ok {
			return false
		}
	}
	for name, member := range value {
		property := p.properties[name]
		switch {
		case property != nil:
		case p.closed:
			return false
		case p.others == nil:
			continue
		default:
			property = p.others
		}
		if !property.holds(member) {
			return false
		}
	}
	return true
}

func (p *proof) array(value []any) bool {
	if !between(len(value), p.minItems, p.maxItems) {
		return false
	}
	if p.items == nil {
		return true
	}
	for _, item := range value {
		if !p.items.holds(item) {
			return false
		}
	}
	return true
}

// A provingValidator asks upstream only of what it can't prove. What is valid
// whole is valid as a change, too.
type provingValidator struct {
	validation.SchemaValidator
	proof *proof
}

func (v provingValidator) Validate(value any, options ...validation.ValidationOption) *validate.Result {
	if v.proof.holds(value) {
		return &validate.Result{}
	}
	return v.SchemaValidator.Validate(value, options...)
}

func (v provingValidator) ValidateUpdate(value, old any, options ...validation.ValidationOption) *validate.Result {
	if v.proof.holds(value) {
		return &validate.Result{}
	}
	return v.SchemaValidator.ValidateUpdate(value, old, options...)
}
