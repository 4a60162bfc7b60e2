package schemas

import (
	"cmp"
	"math"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// The encoding of a type: structured-merge-diff's own types, whose embedded
// fields encoding/json can't tell apart, with short names.
type (
	atom struct {
		Scalar schema.Scalar `json:"s,omitempty"`
		List   *list         `json:"l,omitempty"`
		Map    *mapping      `json:"m,omitempty"`
	}
	list struct {
		Element      reference                  `json:"e"`
		Relationship schema.ElementRelationship `json:"r,omitempty"`
		Keys         []string                   `json:"k,omitempty"`
	}
	mapping struct {
		Fields       []field                    `json:"f,omitempty"`
		Element      reference                  `json:"e"`
		Relationship schema.ElementRelationship `json:"r,omitempty"`
	}
	field struct {
		Name    string    `json:"n"`
		Type    reference `json:"t"`
		Default any       `json:"d,omitempty"`
	}
	reference struct {
		Name         string                      `json:"n,omitempty"`
		Inlined      *atom                       `json:"i,omitempty"`
		Relationship *schema.ElementRelationship `json:"r,omitempty"`
		Nullable     bool                        `json:"z,omitempty"`
	}
)

func (a atom) decode() schema.Atom {
	decoded := schema.Atom{}
	if a.Scalar != "" {
		decoded.Scalar = &a.Scalar
	}
	if a.List != nil {
		decoded.List = &schema.List{
			ElementType:         a.List.Element.decode(),
			ElementRelationship: a.List.Relationship,
			Keys:                a.List.Keys,
		}
	}
	if a.Map != nil {
		decoded.Map = &schema.Map{
			ElementType:         a.Map.Element.decode(),
			ElementRelationship: a.Map.Relationship,
		}
		for _, f := range a.Map.Fields {
			decoded.Map.Fields = append(decoded.Map.Fields,
				schema.StructField{Name: f.Name, Type: f.Type.decode(), Default: integers(f.Default)})
		}
	}
	return decoded
}

func (r reference) decode() schema.TypeRef {
	decoded := schema.TypeRef{ElementRelationship: r.Relationship, Nullable: r.Nullable}
	if r.Name != "" {
		decoded.NamedType = &r.Name
	}
	if r.Inlined != nil {
		decoded.Inlined = r.Inlined.decode()
	}
	return decoded
}

// integers makes whole numbers the integers that they were before JSON.
func integers(v any) any {
	if number, ok := v.(float64); ok && number == math.Trunc(number) {
		return int64(number)
	}
	return v
}

func encode(a schema.Atom) atom {
	var encoded atom
	if a.Scalar != nil {
		encoded.Scalar = *a.Scalar
	}
	if a.List != nil {
		encoded.List = &list{
			Element:      encodeReference(a.List.ElementType),
			Relationship: a.List.ElementRelationship,
			Keys:         a.List.Keys,
		}
	}
	if a.Map != nil {
		encoded.Map = &mapping{
			Element:      encodeReference(a.Map.ElementType),
			Relationship: a.Map.ElementRelationship,
		}
		for _, f := range a.Map.Fields {
			encoded.Map.Fields = append(encoded.Map.Fields,
				field{Name: f.Name, Type: encodeReference(f.Type), Default: f.Default})
		}
		slices.SortFunc(encoded.Map.Fields, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	}
	return encoded
}

func encodeReference(r schema.TypeRef) reference {
	encoded := reference{Relationship: r.ElementRelationship, Nullable: r.Nullable}
	if r.NamedType != nil {
		encoded.Name = *r.NamedType
	}
	if inlined := encode(r.Inlined); inlined != (atom{}) {
		encoded.Inlined = &inlined
	}
	return encoded
}
