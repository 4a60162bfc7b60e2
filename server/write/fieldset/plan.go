package fieldset

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// ErrUnsure means that a plan can't tell what structured-merge-diff would say.
var ErrUnsure = errors.New("fieldset: a value that the plan does not cover")

// A Plan compares values of one Go type by one schema.
type Plan struct {
	root *node
	zero reflect.Value
	skip *skip
}

// NewPlan makes the plan for the struct type of example, a pointer, by the type
// that the schema has for it. Paths in skip are left out with all below them.
func NewPlan(example any, s *schema.Schema, ref schema.TypeRef, skipped *fieldpath.Set) (*Plan, error) {
	t := reflect.TypeOf(example)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("fieldset: %T is not a pointer to a struct", example)
	}
	trie, err := newSkip(skipped)
	if err != nil {
		return nil, err
	}
	b := builder{schema: s, known: map[nodeKey]*node{}}
	return &Plan{root: b.node(t.Elem(), ref), zero: reflect.Zero(t.Elem()), skip: trie}, nil
}

type form int

const (
	unsure    form = iota // any value of it ends the walk
	scalar                // bool, number, string, bytes
	converted             // a type that says itself what it is in JSON
	atomList              // a list that is one leaf
	atomMap               // a struct or map that is one leaf
	structure
	mapping
	keyedList // elements are told apart by their key fields
	setList   // elements are told apart by their values
)

// A node says how values of one Go type in one role compare.
type node struct {
	form   form
	typ    reflect.Type // without pointer
	entry  *value.TypeReflectCacheEntry
	fields []field
	elem   *node
	keys   []key
}

type field struct {
	name  string
	open  []byte // "f:name":{
	entry *value.FieldCacheEntry
	node  *node
	zero  zero
}

// A key is one of the fields that tell list elements apart, in name order.
type key struct {
	name     string
	entry    *value.FieldCacheEntry
	standard any // what an element without the field has; nil: nothing
}

type nodeKey struct {
	typ          reflect.Type
	name         string
	relationship schema.ElementRelationship
}

type builder struct {
	schema *schema.Schema
	known  map[nodeKey]*node
}

// node plans a type; types that are recursive refer back to themselves.
func (b *builder) node(t reflect.Type, ref schema.TypeRef) *node {
	n := &node{typ: t}
	if ref.NamedType != nil {
		k := nodeKey{typ: t, name: *ref.NamedType}
		if ref.ElementRelationship != nil {
			k.relationship = *ref.ElementRelationship
		}
		if known, ok := b.known[k]; ok {
			return known
		}
		b.known[k] = n
	}
	atom, ok := b.schema.Resolve(ref)
	if !ok {
		return n
	}
	n.entry = value.TypeReflectEntryOf(t)
	if n.entry.CanConvertToUnstructured() {
		if convertible(t, atom) {
			n.form = converted
		}
		return n
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		n.typ, n.entry = t, value.TypeReflectEntryOf(t)
		if t.Kind() == reflect.Pointer {
			return n
		}
		if n.entry.CanConvertToUnstructured() {
			return n // of use only through its pointer's methods
		}
	}
	switch t.Kind() {
	case reflect.Struct:
		b.structure(n, atom)
	case reflect.Map:
		b.mapping(n, atom)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			b.scalar(n, atom, schema.String)
		} else {
			b.list(n, atom)
		}
	case reflect.Bool:
		b.scalar(n, atom, schema.Boolean)
	case reflect.String:
		b.scalar(n, atom, schema.String)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Float32, reflect.Float64:
		b.scalar(n, atom, schema.Numeric)
	}
	return n
}

// convertible: what a type makes of itself is a leaf whatever it is.
func convertible(t reflect.Type, atom schema.Atom) bool {
	if t == reflect.TypeFor[intstr.IntOrString]() || t == reflect.TypeFor[*intstr.IntOrString]() {
		return true // a number or a string, never what its schema also allows
	}
	if atom.Scalar != nil && *atom.Scalar != schema.Untyped {
		return false
	}
	return (atom.Map == nil || atom.Map.ElementRelationship == schema.Atomic) &&
		(atom.List == nil || atom.List.ElementRelationship == schema.Atomic)
}

func (b *builder) scalar(n *node, atom schema.Atom, is schema.Scalar) {
	if atom.Scalar != nil && (*atom.Scalar == is || *atom.Scalar == schema.Untyped) {
		n.form = scalar
	}
}

func (b *builder) structure(n *node, atom schema.Atom) {
	if atom.Map == nil {
		return
	}
	if atom.Map.ElementRelationship == schema.Atomic {
		n.form = atomMap
		return
	}
	n.form = structure
	for _, entry := range n.entry.OrderedFields() {
		f := field{name: entry.JsonName, open: []byte(`"f:` + entry.JsonName + `":{`), entry: entry, node: &node{}, zero: zeroOf(n.typ, entry)}
		declared, ok := atom.Map.FindField(entry.JsonName)
		fieldType := fieldType(n.typ, entry)
		if ok && fieldType != nil && plain(entry.JsonName) {
			f.node = b.node(fieldType, declared.Type)
		}
		n.fields = append(n.fields, f)
	}
}

// fieldType is the type that the entry's field has in t.
func fieldType(t reflect.Type, entry *value.FieldCacheEntry) reflect.Type {
	v := entry.GetFrom(reflect.Zero(t))
	if !v.IsValid() {
		return nil
	}
	return v.Type()
}

func (b *builder) mapping(n *node, atom schema.Atom) {
	if atom.Map == nil || n.typ.Key().Kind() != reflect.String {
		return
	}
	if atom.Map.ElementRelationship == schema.Atomic {
		n.form = atomMap
		return
	}
	if len(atom.Map.Fields) > 0 {
		return
	}
	n.form, n.elem = mapping, b.node(n.typ.Elem(), atom.Map.ElementType)
}

func (b *builder) list(n *node, atom schema.Atom) {
	switch {
	case atom.List == nil:
	case atom.List.ElementRelationship == schema.Atomic:
		n.form = atomList
	case atom.List.ElementRelationship != schema.Associative:
	case len(atom.List.Keys) > 0:
		b.keyed(n, atom.List)
	default:
		n.elem = b.node(n.typ.Elem(), atom.List.ElementType)
		if kind := n.typ.Elem().Kind(); n.elem.form == scalar && kind == reflect.String {
			n.form = setList
		}
	}
}

func (b *builder) keyed(n *node, list *schema.List) {
	element := n.typ.Elem()
	if element.Kind() != reflect.Struct {
		return
	}
	atom, ok := b.schema.Resolve(list.ElementType)
	if !ok || atom.Map == nil {
		return
	}
	n.elem = b.node(element, list.ElementType)
	entry := value.TypeReflectEntryOf(element)
	if entry.CanConvertToUnstructured() {
		return
	}
	for _, name := range slices.Sorted(slices.Values(list.Keys)) {
		f, ok := entry.Fields()[name]
		if !ok || !keyType(fieldType(element, f)) || !plain(name) {
			return
		}
		declared, _ := atom.Map.FindField(name)
		n.keys = append(n.keys, key{name: name, entry: f, standard: normal(declared.Default)})
	}
	n.form = keyedList
}

// keyType says whether values of the type can be parts of a key here.
func keyType(t reflect.Type) bool {
	if t == nil || value.TypeReflectEntryOf(t).CanConvertToUnstructured() {
		return false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return true
	}
	return false
}

// normal makes a default that a schema gives a string or an int64, so that it
// compares with values.
func normal(standard any) any {
	switch v := standard.(type) {
	case nil, string, int64:
		return v
	case int:
		return int64(v)
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return unknownDefault{}
}

// unknownDefault makes elements that would need it end the walk.
type unknownDefault struct{}

// A skip is a tree of field names; a node without children is left out.
type skip struct {
	below map[string]*skip
}

func newSkip(set *fieldpath.Set) (*skip, error) {
	root := &skip{}
	if set == nil {
		return root, nil
	}
	var err error
	set.Iterate(func(path fieldpath.Path) {
		at := root
		for i, element := range path {
			if element.FieldName == nil {
				err = fmt.Errorf("fieldset: can't leave out %v, which is not a field", path)
				return
			}
			next, ok := at.below[*element.FieldName]
			switch {
			case ok && next.below == nil:
				return // left out already, with all below
			case !ok:
				next = &skip{below: map[string]*skip{}}
				if at.below == nil {
					at.below = map[string]*skip{}
				}
				at.below[*element.FieldName] = next
			}
			if i == len(path)-1 {
				next.below = nil
			}
			at = next
		}
	})
	return root, err
}
