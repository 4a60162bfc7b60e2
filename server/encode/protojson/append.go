package protojson

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/howdah/howdah/server/transcode"
)

// ErrUnsure is the answer to a message whose JSON has to be made the long way.
var ErrUnsure = errors.New("the encoding is not in the usual form")

const maxDepth = 100

// Append appends the message's JSON. On an error the content of dst after its
// length is undefined.
func (t *Type) Append(dst, message []byte) ([]byte, error) {
	w := t.writers.Get().(*writer)
	defer t.writers.Put(w)
	w.in, w.out, w.used = message, dst, 0
	err := ErrUnsure
	if len(message) <= math.MaxInt32 {
		err = w.object(t.message, 0, int32(len(message)), 0)
	}
	out := w.out
	w.in, w.out = nil, nil
	if err != nil {
		return nil, err
	}
	return out, nil
}

// writer is one conversion.
type writer struct {
	in, out []byte
	// slots is a stack: those of a message begin where those around it end.
	slots []slot
	used  int
}

// A slot is where in the writer's input a field's value stands: its content, or
// for repeated fields all fields with their tags. It has no pointers, as there
// are many.
type slot struct {
	start, end int32
	integer    uint64 // or how often a repeated field stands there
}

func (w *writer) bytes(s slot) []byte { return w.in[s.start:s.end] }

func (w *writer) object(m *message, start, end int32, depth int) error {
	w.out = append(w.out, '{')
	if err := w.fields(m, start, end, depth); err != nil {
		return err
	}
	w.out = append(w.out, '}')
	return nil
}

// fields writes the fields of an object without its braces.
func (w *writer) fields(m *message, start, end int32, depth int) error {
	if depth > maxDepth {
		return ErrUnsure
	}
	base := w.used
	w.used += len(m.fields)
	if w.used > len(w.slots) {
		w.slots = append(w.slots, make([]slot, w.used+maxFields-len(w.slots))...)
	}
	seen, err := scan(m, w.in[:end], int(start), w.slots[base:w.used])
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

// scan finds the fields of the message that b ends with, from at on.
func scan(m *message, b []byte, at int, slots []slot) (seen fieldSet, err error) {
	for at < len(b) {
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
		s := slot{}
		switch wire {
		case protowire.BytesType:
			size, n := varint(b[at:])
			if n <= 0 || size > uint64(len(b)-at-n) {
				return seen, ErrUnsure
			}
			at += n + int(size)
			s.start, s.end = int32(at-int(size)), int32(at)
		case protowire.VarintType:
			if s.integer, n = varint(b[at:]); n <= 0 {
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
		f := &m.fields[i]
		if wire != f.wire {
			return seen, ErrUnsure
		}
		if f.repeated || f.kind == kindMap {
			s = slot{int32(start), int32(at), 1}
			if seen.has(i) {
				if slots[i].end != s.start {
					return seen, ErrUnsure // something stands between
				}
				s.start, s.integer = slots[i].start, slots[i].integer+1
			}
		} else if seen.has(i) && f.kind >= kindMessage {
			return seen, ErrUnsure // messages that come twice are merged
		}
		slots[i] = s
		seen.add(i)
	}
	return seen, nil
}

func varint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

func (w *writer) field(f *field, s slot, seen bool, depth int) error {
	if f.kind == kindInline {
		return w.fields(f.message, s.start, s.end, depth+1)
	}
	// Fields that are not there come here only if they are written nevertheless.
	if seen && !f.pointer && (f.omitEmpty && f.empty(s) || f.omitZero && s.start == s.end) {
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
		return s.start == s.end
	case f.kind == kindBool || f.kind == kindInt64:
		return s.integer == 0
	case f.kind == kindInt32:
		return int32(s.integer) == 0
	}
	return false
}

func (w *writer) list(f *field, s slot, depth int) error {
	w.out = append(w.out, '[')
	for i, at := 0, s.start; i < int(s.integer); i++ {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		var element slot
		element, at = w.next(at)
		if err := w.value(f, element, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

// next is the field at a place of a run that scan has checked, and the place
// behind it.
func (w *writer) next(at int32) (slot, int32) {
	tag, n := varint(w.in[at:])
	at += int32(n)
	v, n := varint(w.in[at:])
	at += int32(n)
	if protowire.Type(tag&7) == protowire.VarintType {
		return slot{integer: v}, at
	}
	end := at + int32(v)
	return slot{start: at, end: end}, end
}

// mapping writes a map, whose entries are in the order of their keys.
func (w *writer) mapping(f *field, s slot, depth int) error {
	w.out = append(w.out, '{')
	var last []byte
	for i, at := 0, s.start; i < int(s.integer); i++ {
		var entry slot
		entry, at = w.next(at)
		key, value, err := w.mapEntry(f.element, entry)
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
		w.out = append(transcode.AppendString(w.out, key), ':')
		if err := w.value(f.element, value, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// mapEntry demands both parts of an entry, each once.
func (w *writer) mapEntry(element *field, entry slot) (key []byte, value slot, err error) {
	keys, values := 0, 0
	for at := entry.start; at < entry.end; {
		number, wire, n := protowire.ConsumeTag(w.in[at:entry.end])
		if n < 0 {
			return nil, slot{}, ErrUnsure
		}
		size := protowire.ConsumeFieldValue(number, wire, w.in[at+int32(n):entry.end])
		if size < 0 {
			return nil, slot{}, ErrUnsure
		}
		switch {
		case number == 1 && wire == protowire.BytesType:
			s, _ := w.next(at)
			key = w.bytes(s)
			keys++
		case number == 2 && wire == element.wire:
			value, _ = w.next(at)
			values++
		default:
			return nil, slot{}, ErrUnsure
		}
		at += int32(n + size)
	}
	if keys != 1 || values != 1 {
		return nil, slot{}, ErrUnsure
	}
	return key, value, nil
}

func (w *writer) value(f *field, s slot, depth int) error {
	switch f.kind {
	case kindString:
		w.out = transcode.AppendString(w.out, w.bytes(s))
	case kindBool:
		w.out = strconv.AppendBool(w.out, s.integer != 0)
	case kindInt32:
		w.out = strconv.AppendInt(w.out, int64(int32(s.integer)), 10)
	case kindInt64:
		w.out = strconv.AppendInt(w.out, int64(s.integer), 10)
	case kindBytes:
		w.out = append(w.out, '"')
		w.out = base64.StdEncoding.AppendEncode(w.out, w.bytes(s))
		w.out = append(w.out, '"')
	case kindMessage:
		return w.object(f.message, s.start, s.end, depth+1)
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
	if err := v.Interface().(decoder).Unmarshal(w.bytes(s)); err != nil {
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
	if s.start == s.end {
		w.out = append(w.out, "null"...)
		return nil
	}
	// The usual form is seconds and then zero nanoseconds.
	const tagSeconds, tagNanos, lastYear = 1 << 3, 2 << 3, 253402300799
	b := w.bytes(s)
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
	if b := w.bytes(s); len(b) > 2 && b[0] == tagString && int(b[1]) == len(b)-2 && canonical(b[2:]) {
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
	if b := w.bytes(s); len(b) > 3 && b[0] == tagType && b[1] == isInt && b[2] == tagInt {
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
	b := w.bytes(s)
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
	return transcode.Compact(object)
}
