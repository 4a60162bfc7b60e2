package transcode

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
)

// writer is one conversion. Its methods append to out and answer false for what
// has to be decoded.
type writer struct {
	body  []byte
	slots []slot // a stack: those of a message are above those of the one around it
}

func (w *writer) root(out []byte, m *message, kind, apiVersion string) ([]byte, bool) {
	start := len(out)
	if kind != "" {
		out = AppendString(append(out, `,"kind":`...), []byte(kind))
	}
	if apiVersion != "" {
		out = AppendString(append(out, `,"apiVersion":`...), []byte(apiVersion))
	}
	out, ok := w.members(out, m, 0, len(w.body), 0)
	return closed(out, start), ok
}

func (w *writer) object(out []byte, m *message, at, end, depth int) ([]byte, bool) {
	start := len(out)
	out, ok := w.members(out, m, at, end, depth)
	return closed(out, start), ok
}

// closed makes an object of members that each begin with a comma.
func closed(out []byte, start int) []byte {
	if len(out) == start {
		return append(out, '{', '}')
	}
	out[start] = '{'
	return append(out, '}')
}

// members writes the members of the message at body[at:end].
func (w *writer) members(out []byte, m *message, at, end, depth int) ([]byte, bool) {
	if depth > maxDepth {
		return out, false
	}
	base := len(w.slots)
	slots := w.push(len(m.fields))
	if !m.scan(slots, w.body, at, end) {
		return out, false
	}
	for i := range m.fields {
		f, s := &m.fields[i], slots[i]
		if s.count == 0 {
			out = append(out, f.absent...)
			continue
		}
		var ok bool
		if out, ok = w.member(out, f, s, depth); !ok {
			return out, false
		}
	}
	w.slots = w.slots[:base]
	return out, true
}

// push makes room for n empty slots.
func (w *writer) push(n int) []slot {
	base := len(w.slots)
	if base+n > cap(w.slots) {
		// Slots of the messages around stay where they are: they aren't written any more.
		w.slots = append(make([]slot, 0, 2*cap(w.slots)+n+256), w.slots...)
	}
	w.slots = w.slots[:base+n]
	slots := w.slots[base:]
	clear(slots)
	return slots
}

// member writes a field that is in the encoding.
func (w *writer) member(out []byte, f *field, s slot, depth int) ([]byte, bool) {
	if f.omitEmpty && !f.repeated && w.empty(f, s.value) {
		return out, true
	}
	if f.omitZero {
		if at, end := s.span(); at == end {
			return out, true
		}
	}
	out = append(out, f.name...)
	switch {
	case f.repeated:
		return w.list(out, f, s, depth)
	case f.kind == kindMap:
		return w.mapping(out, f, s, depth)
	case f.kind == kindInline:
		at, end := s.span()
		return w.members(out, f.message, at, end, depth+1)
	}
	return w.value(out, f, s.value, depth)
}

// empty is what omitempty leaves out.
func (w *writer) empty(f *field, value uint64) bool {
	switch f.kind {
	case kindString, kindBytes, kindStrings:
		at, end := slot{value: value}.span()
		return at == end
	case kindBool, kindInt64:
		return value == 0
	case kindInt32:
		return int32(value) == 0
	case kindFloat64:
		return math.Float64frombits(value) == 0
	}
	return false
}

// list writes a repeated field, between whose values other fields may stand.
func (w *writer) list(out []byte, f *field, s slot, depth int) ([]byte, bool) {
	out = append(out, '[')
	at, end := s.span()
	mine, value, at := next(w.body, at)
	for {
		var ok bool
		if out, ok = w.value(out, f, value, depth); !ok {
			return out, false
		}
		var tag uint64
		for tag = 0; at < end && tag != mine; {
			tag, value, at = next(w.body, at)
		}
		if tag != mine {
			return append(out, ']'), true
		}
		out = append(out, ',')
	}
}

// mapping writes a map, whose entries are in the order of their keys.
func (w *writer) mapping(out []byte, f *field, s slot, depth int) ([]byte, bool) {
	out = append(out, '{')
	var last []byte
	at, end := s.span()
	mine, value, at := next(w.body, at)
	for n := 0; ; n++ {
		key, of, ok := w.entry(f.element, value)
		if !ok || n > 0 && string(key) <= string(last) {
			return out, false
		}
		last = key
		out = append(AppendString(out, key), ':')
		if out, ok = w.value(out, f.element, of, depth); !ok {
			return out, false
		}
		var tag uint64
		for tag = 0; at < end && tag != mine; {
			tag, value, at = next(w.body, at)
		}
		if tag != mine {
			return append(out, '}'), true
		}
		out = append(out, ',')
	}
}

// entry takes a map's entry apart, which has to be its key and its value.
func (w *writer) entry(element *field, entry uint64) (key []byte, value uint64, ok bool) {
	const keyTag, valueTag = 1<<3 | wireBytes, 2 << 3
	at, end := slot{value: entry}.span()
	b := w.body[:end]
	if end-at < 2 || b[at] != keyTag {
		return nil, 0, false
	}
	size, at := varint(b, at+1)
	if at < 0 || size > uint64(end-at) {
		return nil, 0, false
	}
	key, at = b[at:at+int(size)], at+int(size)
	if at == end && element.kind == kindBytes { // nil ones aren't encoded
		return key, span(end, end), true
	}
	wire := element.kind.wire()
	if end-at < 2 || b[at] != valueTag|wire {
		return nil, 0, false
	}
	value, at = varint(b, at+1)
	switch {
	case at < 0 || wire == wireFixed64:
		return nil, 0, false
	case wire == wireBytes:
		if value != uint64(end-at) {
			return nil, 0, false
		}
		return key, span(at, end), true
	}
	return key, value, at == end
}

// value writes what isn't a list or a map.
func (w *writer) value(out []byte, f *field, value uint64, depth int) ([]byte, bool) {
	at, end := slot{value: value}.span()
	switch f.kind {
	case kindString:
		return AppendString(out, w.body[at:end]), true
	case kindBytes:
		out = base64.StdEncoding.AppendEncode(append(out, '"'), w.body[at:end])
		return append(out, '"'), true
	case kindBool:
		return strconv.AppendBool(out, value != 0), true
	case kindInt32:
		return strconv.AppendInt(out, int64(int32(value)), 10), true
	case kindInt64:
		return strconv.AppendInt(out, int64(value), 10), true
	case kindFloat64:
		b, err := json.Marshal(math.Float64frombits(value))
		return append(out, b...), err == nil
	case kindMessage:
		return w.object(out, f.message, at, end, depth+1)
	case kindStrings:
		return w.strings(out, at, end)
	}
	b := w.body[at:end]
	done := false
	switch f.kind {
	case kindTime:
		out, done = appendTime(out, b)
	case kindMicroTime:
		out, done = appendMicroTime(out, b)
	case kindQuantity:
		out, done = appendQuantity(out, b)
	case kindIntOrString:
		out, done = appendIntOrString(out, b)
	case kindFieldsV1:
		out, done = appendFieldsV1(out, b)
	}
	if done {
		return out, true
	}
	return appendSelf(out, f.goType, b)
}

// strings writes a list that is a message of its own.
func (w *writer) strings(out []byte, at, end int) ([]byte, bool) {
	const tag = 1<<3 | wireBytes
	if at == end {
		return append(out, '[', ']'), true
	}
	start := len(out)
	for b := w.body[:end]; at < end; {
		if b[at] != tag {
			return out, false
		}
		var size uint64
		if size, at = varint(b, at+1); at < 0 || size > uint64(end-at) {
			return out, false
		}
		out = AppendString(append(out, ','), b[at:at+int(size)])
		at += int(size)
	}
	out[start] = '['
	return append(out, ']'), true
}

// appendSelf lets a type decode and encode itself.
func appendSelf(out []byte, t reflect.Type, b []byte) ([]byte, bool) {
	v := reflect.New(t).Interface()
	if err := v.(decoder).Unmarshal(b); err != nil {
		return out, false
	}
	encoded, err := json.Marshal(v)
	return append(out, encoded...), err == nil
}
