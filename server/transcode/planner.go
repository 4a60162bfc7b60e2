package transcode

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A message is the plan of a struct.
type message struct {
	fields   []field
	byNumber []place // by field number
}

// A place tells the scan where a field's value goes.
type place struct {
	slot     uint8 // one more than the index of the field; 0: no such field
	wire     uint8
	repeated bool // it may come more than once: a list or map
	merges   bool // Unmarshal merges it when it comes more than once
}

// A field is one struct field.
type field struct {
	name      string // `,"name":`, empty for inline structs
	absent    string // what is written if the field isn't in the encoding
	kind      kind
	repeated  bool // a list; maps have kindMap
	omitEmpty bool // a present but empty value is left out
	omitZero  bool // a present but zero value is left out
	message   *message
	element   *field // a map's values
	goType    reflect.Type
}

type kind uint8

const (
	kindString kind = iota
	kindBytes
	kindBool
	kindInt32
	kindInt64
	kindFloat64
	kindMessage
	kindInline // a struct whose members stand in the one around it
	kindMap
	kindStrings // a named list of strings, which is a message of its own
	kindTime
	kindMicroTime
	kindQuantity
	kindIntOrString
	kindFieldsV1
	kindSelf // decoded and encoded with its own methods
)

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func (k kind) wire() uint8 {
	switch k {
	case kindBool, kindInt32, kindInt64:
		return wireVarint
	case kindFloat64:
		return wireFixed64
	}
	return wireBytes
}

// planner has the messages planned so far, as types may contain themselves.
type planner map[reflect.Type]*message

func (p planner) message(t reflect.Type) (*message, error) {
	if m := p[t]; m != nil {
		return m, nil
	}
	if err := unambiguous(t, map[string]bool{}); err != nil {
		return nil, err
	}
	m := &message{}
	p[t] = m
	for i := range t.NumField() {
		if err := p.add(m, t.Field(i)); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), t.Field(i).Name, err)
		}
	}
	return m, nil
}

// add plans a struct field.
func (p planner) add(m *message, sf reflect.StructField) error {
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && !sf.Anonymous {
		return nil
	}
	f, err := named(sf, tag)
	if err != nil {
		return err
	}
	number, err := number(sf.Tag.Get("protobuf"))
	if err != nil {
		return err
	}
	if f.absent, err = absent(f, sf.Type); err != nil {
		return err
	}
	if number == 0 { // it is never in the encoding
		if f.absent != "" {
			m.fields = append(m.fields, f)
		}
		return nil
	}
	if err := p.typed(&f, sf.Type); err != nil {
		return err
	}
	if sf.Type.Kind() == reflect.Pointer {
		f.omitEmpty, f.omitZero = false, false // a present one is never nil
	}
	if f.omitZero && f.kind != kindTime {
		return fmt.Errorf("it has omitzero")
	}
	if f.name == "" {
		if f.kind != kindMessage || f.repeated || sf.Type.Kind() != reflect.Struct {
			return fmt.Errorf("it is embedded, but no plain struct")
		}
		f.kind = kindInline
	}
	for len(m.byNumber) <= number {
		m.byNumber = append(m.byNumber, place{})
	}
	m.fields = append(m.fields, f)
	if m.byNumber[number].slot != 0 || len(m.fields) > 255 {
		return fmt.Errorf("its number %d is taken, or there are too many fields", number)
	}
	repeated := f.repeated || f.kind == kindMap
	m.byNumber[number] = place{
		slot: uint8(len(m.fields)), wire: f.kind.wire(), repeated: repeated,
		merges: !repeated && f.kind >= kindMessage,
	}
	return nil
}

// named reads the JSON tag.
func named(sf reflect.StructField, tag string) (field, error) {
	var f field
	name, options, _ := strings.Cut(tag, ",")
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		case "", "inline":
		default:
			return field{}, fmt.Errorf("its JSON tag has the option %q", option)
		}
	}
	if name == "" && sf.Anonymous {
		return f, nil
	}
	if name == "" {
		name = sf.Name
	}
	quoted, err := json.Marshal(name)
	f.name = "," + string(quoted) + ":"
	return f, err
}

// number reads the protobuf tag; 0 if there is none.
func number(tag string) (int, error) {
	if tag == "" || tag == "-" {
		return 0, nil
	}
	parts := strings.Split(tag, ",")
	if len(parts) < 2 {
		return 0, fmt.Errorf("its protobuf tag %q has no number", tag)
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 || n > 1000 {
		return 0, fmt.Errorf("its protobuf tag %q has no number", tag)
	}
	return n, nil
}

// absent is what encoding/json writes for a zero field: nothing, or members that
// each begin with a comma.
func absent(f field, t reflect.Type) (string, error) {
	zero := reflect.New(t)
	switch t.Kind() {
	case reflect.Struct, reflect.Array:
		if f.omitZero {
			return "", nil
		}
	default:
		if f.omitEmpty || f.omitZero {
			return "", nil
		}
	}
	b, err := json.Marshal(zero.Interface())
	if err != nil {
		return "", err
	}
	if f.name != "" {
		return f.name + string(b), nil
	}
	members, isObject := strings.CutPrefix(strings.TrimSuffix(string(b), "}"), "{")
	if !isObject {
		return "", fmt.Errorf("it is embedded, but no object")
	}
	if members != "" {
		members = "," + members
	}
	return members, nil
}

// unambiguous refuses member names that occur twice, for which encoding/json has
// rules of its own.
func unambiguous(t reflect.Type, seen map[string]bool) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "-" || !sf.IsExported() && !sf.Anonymous {
			continue
		}
		if name == "" && sf.Anonymous {
			if sf.Type.Kind() != reflect.Struct {
				return fmt.Errorf("%s embeds %s", t, sf.Type)
			}
			if err := unambiguous(sf.Type, seen); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = sf.Name
		}
		if seen[name] {
			return fmt.Errorf("two fields of %s have the name %q", t, name)
		}
		seen[name] = true
	}
	return nil
}

// typed sets what follows from a field's type.
func (p planner) typed(f *field, t reflect.Type) error {
	switch {
	case t.Kind() == reflect.Pointer:
		if t.Elem().Kind() == reflect.Slice {
			return fmt.Errorf("it is a pointer to a list")
		}
		return p.value(f, t.Elem())
	case isMessage(t):
		return p.value(f, t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		if selfEncoding(t) || t.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("it is a list of type %s", t)
		}
		f.repeated = true
		return p.value(f, t.Elem())
	case t.Kind() == reflect.Map:
		return p.mapping(f, t)
	}
	return p.value(f, t)
}

func (p planner) mapping(f *field, t reflect.Type) error {
	if selfEncoding(t) || t.Key().Kind() != reflect.String || selfEncoding(t.Key()) || t.Elem().Kind() == reflect.Pointer {
		return fmt.Errorf("it is a map of type %s", t)
	}
	// A map's values have no address, so encoding/json ignores methods of pointers.
	if selfEncoding(t.Elem()) && !t.Elem().Implements(reflect.TypeFor[json.Marshaler]()) {
		return fmt.Errorf("it is a map of %s, which writes its JSON by pointer", t.Elem())
	}
	f.kind, f.element = kindMap, &field{}
	return p.value(f.element, t.Elem())
}

// isMessage says whether a type has its own message.
func isMessage(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[decoder]())
}

func selfEncoding(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(reflect.TypeFor[json.Marshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// value plans what isn't a list, a map or a pointer.
func (p planner) value(f *field, t reflect.Type) error {
	f.goType = t
	switch t {
	case reflect.TypeFor[metav1.Time]():
		f.kind = kindTime
		return nil
	case reflect.TypeFor[metav1.MicroTime]():
		f.kind = kindMicroTime
		return nil
	case reflect.TypeFor[resource.Quantity]():
		f.kind = kindQuantity
		return nil
	case reflect.TypeFor[intstr.IntOrString]():
		f.kind = kindIntOrString
		return nil
	case reflect.TypeFor[metav1.FieldsV1]():
		f.kind = kindFieldsV1
		return nil
	}
	switch {
	case selfEncoding(t):
		if !isMessage(t) || t.Kind() != reflect.Struct {
			return fmt.Errorf("%s writes its JSON itself", t)
		}
		f.kind = kindSelf
		return nil
	case isMessage(t) && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		f.kind = kindStrings
		return nil
	case isMessage(t) && t.Kind() != reflect.Struct:
		return fmt.Errorf("%s is a message, but no struct", t)
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
	case reflect.Float64:
		f.kind = kindFloat64
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 || selfEncoding(t.Elem()) {
			return fmt.Errorf("%s is a list within a list or map", t)
		}
		f.kind = kindBytes
	case reflect.Struct:
		m, err := p.message(t)
		if err != nil {
			return err
		}
		f.kind, f.message = kindMessage, m
	default:
		return fmt.Errorf("%s has no JSON here", t)
	}
	return nil
}
