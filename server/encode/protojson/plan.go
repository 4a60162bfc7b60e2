package protojson

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A Type is how messages of one Go struct type become JSON.
type Type struct {
	message *message
	writers sync.Pool
}

// New makes the plan for a struct type. It fails for types with fields that
// plans can't have.
func New(t reflect.Type) (*Type, error) {
	p := planner{known: map[reflect.Type]*message{}}
	m, err := p.message(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	typ := &Type{message: m}
	typ.writers.New = func() any { return &writer{} }
	return typ, nil
}

// A message is the plan of a struct.
type message struct {
	fields []field
	// byNumber are indexes into fields, plus one.
	byNumber []uint8
	// always are the fields that are written even if they are not there.
	always fieldSet
}

// A fieldSet has a bit for each field of a message.
type fieldSet [2]uint64

const maxFields = 128

func (s *fieldSet) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s *fieldSet) has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }
func (s *fieldSet) empty() bool    { return s[0]|s[1] == 0 }

// A field is one struct field.
type field struct {
	name      string // "name": with quotes and colon; empty for inline structs
	kind      kind
	number    int // 0: not in the encoding, always zero
	wire      protowire.Type
	repeated  bool
	pointer   bool
	omitEmpty bool
	omitZero  bool
	message   *message     // of kindMessage and kindInline, and of what maps hold
	element   *field       // of kindMap: its values
	goType    reflect.Type // of kindOther
}

type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt32
	kindInt64
	kindBytes
	kindMessage
	kindInline // a struct whose fields appear in the one around it
	kindMap
	kindTime
	kindQuantity
	kindIntOrString
	kindFields
	kindOther // decoded and encoded by its own methods
)

func (k kind) wire() protowire.Type {
	switch k {
	case kindBool, kindInt32, kindInt64:
		return protowire.VarintType
	}
	return protowire.BytesType
}

// planner makes plans; types may contain themselves.
type planner struct {
	known map[reflect.Type]*message
}

func (p *planner) message(t reflect.Type) (*message, error) {
	if m := p.known[t]; m != nil {
		return m, nil
	}
	m := &message{}
	p.known[t] = m
	for i := range t.NumField() {
		f, ok, err := p.field(t.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Field(i).Name, err)
		}
		if ok {
			m.fields = append(m.fields, f)
		}
	}
	if len(m.fields) > maxFields {
		return nil, fmt.Errorf("it has %d fields", len(m.fields))
	}
	names := map[string]bool{}
	if err := m.collect(names); err != nil {
		return nil, err
	}
	for i, f := range m.fields {
		m.fields[i].wire = f.kind.wire()
		if f.element != nil {
			f.element.wire = f.element.kind.wire()
		}
		if f.kind == kindInline && !f.message.always.empty() || f.kind != kindInline && !f.optional() {
			m.always.add(i)
		}
		if f.number == 0 {
			continue
		}
		for len(m.byNumber) <= f.number {
			m.byNumber = append(m.byNumber, 0)
		}
		if m.byNumber[f.number] != 0 {
			return nil, fmt.Errorf("two fields have number %d", f.number)
		}
		m.byNumber[f.number] = uint8(i) + 1
	}
	return m, nil
}

// optional says whether a field that is not there is left out.
func (f *field) optional() bool {
	if f.omitZero {
		return true
	}
	// A struct is never empty.
	isStruct := f.kind == kindMessage || f.kind >= kindTime
	return f.omitEmpty && (!isStruct || f.pointer || f.repeated)
}

// collect refuses names that occur twice, for which Go has rules of its own.
func (m *message) collect(names map[string]bool) error {
	for _, f := range m.fields {
		if f.kind == kindInline {
			if err := f.message.collect(names); err != nil {
				return err
			}
			continue
		}
		if names[f.name] {
			return fmt.Errorf("two fields have the name %s", f.name)
		}
		names[f.name] = true
	}
	return nil
}

// field plans a struct field; false for one that JSON never shows.
func (p *planner) field(sf reflect.StructField) (field, bool, error) {
	tag := sf.Tag.Get("json")
	name, options, _ := strings.Cut(tag, ",")
	if tag == "-" || sf.Type == reflect.TypeFor[metav1.TypeMeta]() {
		return field{}, false, nil // the type of encoded objects is in their envelope
	}
	if !sf.IsExported() {
		return field{}, false, fmt.Errorf("it is not exported")
	}
	var f field
	for _, option := range strings.Split(options, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		case "", "inline":
		default:
			return field{}, false, fmt.Errorf("its JSON tag has the option %q", option)
		}
	}
	if parts := strings.Split(sf.Tag.Get("protobuf"), ","); len(parts) > 1 {
		n, err := strconv.Atoi(parts[1])
		if err != nil || n < 1 || n > 1000 {
			return field{}, false, fmt.Errorf("its protobuf tag %q has no number", sf.Tag.Get("protobuf"))
		}
		f.number = n
	}
	if err := p.typed(&f, sf.Type); err != nil {
		return field{}, false, err
	}
	if name == "" && sf.Anonymous {
		if f.kind != kindMessage || f.pointer || f.repeated {
			return field{}, false, fmt.Errorf("it is embedded, but not a struct")
		}
		f.kind = kindInline
		return f, true, nil
	}
	if name == "" {
		name = sf.Name
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return field{}, false, err
	}
	f.name = string(quoted) + ":"
	if f.omitZero && f.kind != kindTime && !f.pointer {
		return field{}, false, fmt.Errorf("it has omitzero")
	}
	return f, true, nil
}

// typed sets what follows from the field's type.
func (p *planner) typed(f *field, t reflect.Type) error {
	if own(t) {
		return p.scalar(f, t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		f.pointer = true
		return p.scalar(f, t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			f.kind = kindBytes
			return nil
		}
		f.repeated = true
		if t.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("it is a list of pointers")
		}
		return p.scalar(f, t.Elem())
	case reflect.Map:
		if t.Key().Kind() != reflect.String || reflect.PointerTo(t.Key()).Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return fmt.Errorf("it is a map with keys of type %s", t.Key())
		}
		f.kind, f.element = kindMap, &field{number: 2}
		if t.Elem().Kind() == reflect.Slice && t.Elem().Elem().Kind() == reflect.Uint8 {
			f.element.kind = kindBytes
			return nil
		}
		if t.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("it is a map of pointers")
		}
		// The values of maps have no address, so methods of pointers don't count.
		if reflect.PointerTo(t.Elem()).Implements(reflect.TypeFor[json.Marshaler]()) && !t.Elem().Implements(reflect.TypeFor[json.Marshaler]()) {
			return fmt.Errorf("it is a map of %s, which encodes itself by pointer", t.Elem())
		}
		return p.scalar(f.element, t.Elem())
	}
	return p.scalar(f, t)
}

// own says whether a type is a message of its own without being a struct, such
// as lists with a name.
func own(t reflect.Type) bool {
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[decoder]())
}

type decoder interface{ Unmarshal([]byte) error }

func (p *planner) scalar(f *field, t reflect.Type) error {
	switch t {
	case reflect.TypeFor[metav1.Time]():
		f.kind, f.goType = kindTime, t
		return nil
	case reflect.TypeFor[resource.Quantity]():
		f.kind, f.goType = kindQuantity, t
		return nil
	case reflect.TypeFor[intstr.IntOrString]():
		f.kind, f.goType = kindIntOrString, t
		return nil
	case reflect.TypeFor[metav1.FieldsV1]():
		f.kind, f.goType = kindFields, t
		return nil
	}
	pointer := reflect.PointerTo(t)
	encodesItself := pointer.Implements(reflect.TypeFor[json.Marshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	if own(t) || encodesItself && t.Kind() == reflect.Struct {
		if !pointer.Implements(reflect.TypeFor[decoder]()) || f.omitEmpty && t.Kind() != reflect.Struct && !f.pointer {
			return fmt.Errorf("%s can't be decoded alone", t)
		}
		f.kind, f.goType = kindOther, t
		return nil
	}
	if encodesItself {
		return fmt.Errorf("%s encodes itself", t)
	}
	switch t.Kind() {
	case reflect.String:
		f.kind = kindString
	case reflect.Bool:
		f.kind = kindBool
	case reflect.Int32:
		f.kind = kindInt32
	case reflect.Int64:
		f.kind = kindInt64
	case reflect.Struct:
		m, err := p.message(t)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		f.kind, f.message = kindMessage, m
	default:
		return fmt.Errorf("%s has no plan", t)
	}
	return nil
}
