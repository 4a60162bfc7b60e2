package protojson

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/bits"
	"reflect"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrUnsure is the answer to a message whose JSON has to be made the long way.
var ErrUnsure = errors.New("the encoding is not in the usual form")

const maxDepth = 100

// Append appends the message's JSON. On an error the content of dst after its
// length is undefined.
func (t *Type) Append(dst, message []byte) ([]byte, error) {
	w := t.writers.Get().(*writer)
	defer t.writers.Put(w)
	w.out = dst
	err := w.object(t.message, message, 0)
	out := w.out
	w.out = nil
	w.forget()
	if err != nil {
		return nil, err
	}
	return out, nil
}

// writer is one conversion.
type writer struct {
	out []byte
	// slots is a stack: those of a message begin where those around it end.
	slots []slot
	used  int
}

// forget lets go of the message.
func (w *writer) forget() {
	w.used = 0
	clear(w.slots)
}

// A slot is where a field's value stands: its content, or for repeated fields
// all fields with their tags.
type slot struct {
	value   []byte
	integer uint64 // or how often a repeated field stands there
}

func (w *writer) object(m *message, message []byte, depth int) error {
	w.out = append(w.out, '{')
	if err := w.fields(m, message, depth); err != nil {
		return err
	}
	w.out = append(w.out, '}')
	return nil
}

// fields writes the fields of an object without its braces.
func (w *writer) fields(m *message, message []byte, depth int) error {
	if depth > maxDepth {
		return ErrUnsure
	}
	base := w.used
	w.used += len(m.fields)
	if w.used > len(w.slots) {
		w.slots = append(w.slots, make([]slot, w.used+maxFields-len(w.slots))...)
	}
	seen, err := scan(m, message, w.slots[base:w.used])
	if err != nil {
		return err
	}
	for half := range seen {
		for left := seen[half] | m.always[half]; left != 0; left &= left - 1 {
			i := half<<6 + bits.TrailingZeros64(left)
			var s slot
			if seen.has(i) {
				s = w.slots[base+i]
			}
			if err := w.field(&m.fields[i], s, seen.has(i), depth); err != nil {
				return err
			}
		}
	}
	w.used = base
	return nil
}

// scan finds the fields of a message.
func scan(m *message, b []byte, slots []slot) (seen fieldSet, err error) {
	for at := 0; at < len(b); {
		start := at
		tag, n := varint(b[at:])
		if n <= 0 {
			return seen, ErrUnsure
		}
		at += n
		number, wire := tag>>3, protowire.Type(tag&7)
		if number == 0 || number > uint64(protowire.MaxValidNumber) {
			return seen, ErrUnsure
		}
		var value []byte
		var integer uint64
		switch wire {
		case protowire.BytesType:
			size, n := varint(b[at:])
			if n <= 0 || size > uint64(len(b)-at-n) {
				return seen, ErrUnsure
			}
			value = b[at+n : at+n+int(size)]
			at += n + int(size)
		case protowire.VarintType:
			if integer, n = varint(b[at:]); n <= 0 {
				return seen, ErrUnsure
			}
			at += n
		case protowire.Fixed32Type, protowire.Fixed64Type: // which API types don't have
			if n = protowire.ConsumeFieldValue(protowire.Number(number), wire, b[at:]); n < 0 {
				return seen, ErrUnsure
			}
			at += n
		default:
			return seen, ErrUnsure
		}
		if number >= uint64(len(m.byNumber)) || m.byNumber[number] == 0 {
			continue
		}
		i := int(m.byNumber[number] - 1)
		f, s := &m.fields[i], &slots[i]
		if wire != f.wire() {
			return seen, ErrUnsure
		}
		switch {
		case f.repeated || f.kind == kindMap:
			switch {
			case !seen.has(i):
				*s = slot{b[start:at], 1}
			case cap(s.value)-len(s.value) != cap(b)-start:
				return seen, ErrUnsure // something stands between
			default:
				s.value = s.value[:len(s.value)+at-start]
				s.integer++
			}
		case seen.has(i) && f.kind >= kindMessage:
			return seen, ErrUnsure // messages that come twice are merged
		default:
			*s = slot{value, integer}
		}
		seen.add(i)
	}
	return seen, nil
}

func (f *field) wire() protowire.Type {
	switch f.kind {
	case kindBool, kindInt32, kindInt64:
		return protowire.VarintType
	}
	return protowire.BytesType
}

func varint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

func (w *writer) field(f *field, s slot, seen bool, depth int) error {
	if f.kind == kindInline {
		return w.fields(f.message, s.value, depth+1)
	}
	// Fields that are not there come here only if they are written nevertheless.
	if seen && !f.pointer && (f.omitEmpty && f.empty(s) || f.omitZero && len(s.value) == 0) {
		return nil
	}
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, f.name...)
	switch {
	case !seen && f.nilable():
		w.out = append(w.out, "null"...)
		return nil
	case f.kind == kindMap:
		return w.mapping(f, s, depth)
	case f.repeated:
		return w.list(f, s, depth)
	}
	return w.value(f, s, depth)
}

// nilable says whether a value that is not there is null.
func (f *field) nilable() bool {
	return f.pointer || f.repeated || f.kind == kindMap || f.kind == kindBytes ||
		f.kind == kindOther && f.goType.Kind() != reflect.Struct
}

// empty is what omitempty leaves out of values that are there.
func (f *field) empty(s slot) bool {
	switch {
	case f.repeated:
		return false
	case f.kind == kindString || f.kind == kindBytes:
		return len(s.value) == 0
	case f.kind == kindBool || f.kind == kindInt64:
		return s.integer == 0
	case f.kind == kindInt32:
		return int32(s.integer) == 0
	}
	return false
}

func (w *writer) list(f *field, s slot, depth int) error {
	w.out = append(w.out, '[')
	for i, rest := 0, s.value; i < int(s.integer); i++ {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		var element slot
		element, rest = next(rest)
		if err := w.value(f, element, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

// next takes the first field off a run that scan has checked.
func next(b []byte) (slot, []byte) {
	tag, n := varint(b)
	b = b[n:]
	v, n := varint(b)
	b = b[n:]
	if protowire.Type(tag&7) == protowire.VarintType {
		return slot{integer: v}, b
	}
	return slot{value: b[:v]}, b[v:]
}

// mapping writes a map, whose entries are in the order of their keys.
func (w *writer) mapping(f *field, s slot, depth int) error {
	w.out = append(w.out, '{')
	var last []byte
	for i, rest := 0, s.value; i < int(s.integer); i++ {
		var entry slot
		entry, rest = next(rest)
		key, value, err := mapEntry(f.element, entry.value)
		if err != nil {
			return err
		}
		if i > 0 {
			if string(key) <= string(last) {
				return ErrUnsure
			}
			w.out = append(w.out, ',')
		}
		last = key
		w.out = append(AppendText(w.out, key), ':')
		if err := w.value(f.element, value, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// mapEntry demands both parts of an entry, each once.
func mapEntry(element *field, entry []byte) (key []byte, value slot, err error) {
	keys, values := 0, 0
	for len(entry) > 0 {
		number, wire, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return nil, slot{}, ErrUnsure
		}
		size := protowire.ConsumeFieldValue(number, wire, entry[n:])
		if size < 0 {
			return nil, slot{}, ErrUnsure
		}
		switch {
		case number == 1 && wire == protowire.BytesType:
			s, _ := next(entry[:n+size])
			key = s.value
			keys++
		case number == 2 && wire == element.wire():
			value, _ = next(entry[:n+size])
			values++
		default:
			return nil, slot{}, ErrUnsure
		}
		entry = entry[n+size:]
	}
	if keys != 1 || values != 1 {
		return nil, slot{}, ErrUnsure
	}
	return key, value, nil
}

func (w *writer) value(f *field, s slot, depth int) error {
	switch f.kind {
	case kindString:
		w.out = AppendText(w.out, s.value)
	case kindBool:
		w.out = strconv.AppendBool(w.out, s.integer != 0)
	case kindInt32:
		w.out = strconv.AppendInt(w.out, int64(int32(s.integer)), 10)
	case kindInt64:
		w.out = strconv.AppendInt(w.out, int64(s.integer), 10)
	case kindBytes:
		w.out = append(w.out, '"')
		w.out = base64.StdEncoding.AppendEncode(w.out, s.value)
		w.out = append(w.out, '"')
	case kindMessage:
		return w.object(f.message, s.value, depth+1)
	case kindTime:
		return w.time(f, s)
	case kindQuantity:
		return w.quantity(f, s)
	case kindIntOrString:
		return w.intOrString(f, s)
	case kindFields:
		return w.managedFields(f, s)
	default:
		return w.other(f.goType, s)
	}
	return nil
}

// other lets the type decode and encode itself.
func (w *writer) other(t reflect.Type, s slot) error {
	v := reflect.New(t)
	if t.Kind() == reflect.Slice { // decoders make an empty one first
		v.Elem().Set(reflect.MakeSlice(t, 0, 0))
	}
	if err := v.Interface().(decoder).Unmarshal(s.value); err != nil {
		return ErrUnsure
	}
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return ErrUnsure
	}
	w.out = append(w.out, b...)
	return nil
}

// time writes a metav1.Time, which has seconds only.
func (w *writer) time(f *field, s slot) error {
	if len(s.value) == 0 {
		w.out = append(w.out, "null"...)
		return nil
	}
	// The usual form is seconds and then zero nanoseconds.
	const tagSeconds, tagNanos, lastYear = 1 << 3, 2 << 3, 253402300799
	b := s.value
	if b[0] == tagSeconds {
		if seconds, n := varint(b[1:]); n > 0 && seconds <= lastYear {
			if rest := b[1+n:]; len(rest) == 0 || len(rest) == 2 && rest[0] == tagNanos && rest[1] == 0 {
				w.out = append(w.out, '"')
				w.out = time.Unix(int64(seconds), 0).UTC().AppendFormat(w.out, time.RFC3339)
				w.out = append(w.out, '"')
				return nil
			}
		}
	}
	return w.other(f.goType, s)
}

// quantity writes a resource.Quantity.
func (w *writer) quantity(f *field, s slot) error {
	const tagString = 1<<3 | 2
	if b := s.value; len(b) > 2 && b[0] == tagString && int(b[1]) == len(b)-2 && canonical(b[2:]) {
		w.out = append(w.out, '"')
		w.out = append(w.out, b[2:]...)
		w.out = append(w.out, '"')
		return nil
	}
	return w.other(f.goType, s)
}

// canonical says of most quantities that are in their canonical form that they
// are, and of no others: up to three digits and a suffix.
func canonical(b []byte) bool {
	digits := 0
	for digits < len(b) && digits < 3 && b[digits] >= '0' && b[digits] <= '9' {
		digits++
	}
	if digits == 0 || b[0] == '0' {
		return false
	}
	switch string(b[digits:]) {
	case "", "m", "k", "M", "G", "Ki", "Mi", "Gi":
		return true
	}
	return false
}

// intOrString writes an intstr.IntOrString, whose three parts are always there.
func (w *writer) intOrString(f *field, s slot) error {
	const tagType, tagInt, tagString, isInt = 1 << 3, 2 << 3, 3<<3 | 2, 0
	if b := s.value; len(b) > 3 && b[0] == tagType && b[1] == isInt && b[2] == tagInt {
		if v, n := varint(b[3:]); n > 0 {
			if rest := b[3+n:]; len(rest) == 2 && rest[0] == tagString && rest[1] == 0 {
				w.out = strconv.AppendInt(w.out, int64(int32(v)), 10)
				return nil
			}
		}
	}
	return w.other(f.goType, s)
}

// managedFields writes a metav1.FieldsV1, which is JSON already. What the server
// stores needs no compacting and no escapes.
func (w *writer) managedFields(f *field, s slot) error {
	const tagRaw = 1<<3 | 2
	b := s.value
	if len(b) < 4 || b[0] != tagRaw {
		return w.other(f.goType, s)
	}
	size, n := varint(b[1:])
	if n <= 0 || size != uint64(len(b)-1-n) {
		return w.other(f.goType, s)
	}
	raw := b[1+n:]
	if !plain(raw) {
		return w.other(f.goType, s)
	}
	w.out = append(w.out, raw...)
	return nil
}

// plain says whether compacting and escaping would leave an object as it is.
func plain(object []byte) bool {
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
		return false
	}
	return compact(object)
}
