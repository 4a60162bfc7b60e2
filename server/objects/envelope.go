package objects

import (
	"bytes"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages on the way to an object's metadata.
const (
	unknownTypeMeta        = 1 // runtime.Unknown
	unknownRaw             = 2
	unknownContentEncoding = 3
	unknownContentType     = 4

	objectMeta = 1 // of every API object

	metaUID             = 5 // metav1.ObjectMeta
	metaResourceVersion = 6
	metaLabels          = 11
)

const protobufMediaType = "application/vnd.kubernetes.protobuf"

// protobufMagic starts every stored protobuf value.
func protobufMagic() string { return "k8s\x00" }

// A span is a part of a value, by offsets.
type span struct{ start, end int }

func (s span) len() int           { return s.end - s.start }
func (s span) of(b []byte) []byte { return b[s.start:s.end:s.end] }

// moved is where the span is when everything before it grew; an empty span
// means that there is no such thing.
func (s span) moved(by int) span {
	if s.len() == 0 {
		return span{}
	}
	return span{s.start + by, s.end + by}
}

// An envelope says where in a stored protobuf value things stand.
type envelope struct {
	typeMeta span // content of the envelope's type
	rawField int  // where the field with the object starts
	raw      span // the object
	metaTag  int  // where the field with its metadata starts
	meta     span // the metadata
	version  span // the field resourceVersion with its tag; empty where it would go
	uid      span
	labels   span // the fields that are label entries, with their tags
}

// scanEnvelope finds everything in one pass. It fails with errForm on bytes that
// it can't be exact about.
func scanEnvelope(stored []byte) (envelope, error) {
	var e envelope
	magic := len(protobufMagic())
	if len(stored) < magic || string(stored[:magic]) != protobufMagic() {
		return e, errForm
	}
	found := false
	r := wireReader{buf: stored, at: magic}
	for r.next() {
		content := span{r.at - len(r.value), r.at}
		switch r.number {
		case unknownTypeMeta:
			if r.value == nil || e.typeMeta != (span{}) {
				return e, errForm
			}
			e.typeMeta = content
		case unknownRaw:
			if r.value == nil || found {
				return e, errForm
			}
			e.rawField, e.raw, found = r.start, content, true
		case unknownContentEncoding:
			if len(r.value) > 0 {
				return e, errForm
			}
		case unknownContentType:
			if len(r.value) > 0 && string(r.value) != protobufMediaType {
				return e, errForm
			}
		default:
			return e, errForm
		}
	}
	if r.err != nil || !found {
		return e, errForm
	}
	return e, e.scanObject(stored)
}

func (e *envelope) scanObject(stored []byte) error {
	found := false
	r := wireReader{buf: stored[:e.raw.end], at: e.raw.start}
	for r.next() {
		if r.number != objectMeta {
			continue
		}
		if r.value == nil || found {
			return errForm
		}
		e.metaTag, e.meta, found = r.start, span{r.at - len(r.value), r.at}, true
	}
	if r.err != nil || !found {
		return errForm
	}
	return e.scanMeta(stored)
}

func (e *envelope) scanMeta(stored []byte) error {
	var last int
	var lastLabel []byte
	e.version = span{e.meta.end, e.meta.end}
	placed := false
	r := wireReader{buf: stored[:e.meta.end], at: e.meta.start}
	for r.next() {
		if r.number < last {
			return errForm
		}
		again := r.number == last
		last = r.number
		switch {
		case r.number == metaResourceVersion:
			if r.value == nil || again {
				return errForm
			}
			e.version, placed = span{r.start, r.at}, true
		case r.number > metaResourceVersion && !placed:
			e.version, placed = span{r.start, r.start}, true
		}
		switch r.number {
		case metaUID:
			if r.value == nil || again {
				return errForm
			}
			e.uid = span{r.at - len(r.value), r.at}
		case metaLabels:
			name, _, ok := mapEntry(r.value)
			if !ok || again && bytes.Compare(lastLabel, name) >= 0 {
				return errForm
			}
			lastLabel = name
			if !again {
				e.labels.start = r.start
			}
			e.labels.end = r.at
		}
	}
	return r.err
}

// mapEntry reads one entry of a map of strings.
func mapEntry(entry []byte) (key, value []byte, ok bool) {
	r := wireReader{buf: entry}
	for r.next() {
		switch {
		case r.number == 1 && r.value != nil:
			key = r.value
		case r.number == 2 && r.value != nil:
			value = r.value
		default:
			return nil, nil, false
		}
	}
	return key, value, r.err == nil && entry != nil
}

// splice returns a copy of the stored value that has the revision as its
// resourceVersion, and where things stand in it. All lengths around the
// metadata are written anew.
func (e envelope) splice(stored []byte, revision int64) ([]byte, envelope) {
	const stringTag = 2
	var digits [20]byte
	version := strconv.AppendInt(digits[:0], revision, 10)
	versionSize := 2 + len(version)
	metaSize := e.meta.len() - e.version.len() + versionSize
	metaFieldSize := 1 + protowire.SizeBytes(metaSize)
	rawSize := e.raw.len() - (e.meta.end - e.metaTag) + metaFieldSize
	size := e.rawField + 1 + protowire.SizeBytes(rawSize) + len(stored) - e.raw.end

	v := make([]byte, 0, size)
	v = append(v, stored[:e.rawField]...)
	v = append(v, unknownRaw<<3|stringTag)
	v = protowire.AppendVarint(v, uint64(rawSize))
	s := envelope{typeMeta: e.typeMeta, rawField: e.rawField}
	s.raw = span{len(v), len(v) + rawSize}
	v = append(v, stored[e.raw.start:e.metaTag]...)
	s.metaTag = len(v)
	v = append(v, objectMeta<<3|stringTag)
	v = protowire.AppendVarint(v, uint64(metaSize))
	s.meta = span{len(v), len(v) + metaSize}
	v = append(v, stored[e.meta.start:e.version.start]...)
	s.version = span{len(v), len(v) + versionSize}
	v = append(v, metaResourceVersion<<3|stringTag, byte(len(version)))
	v = append(v, version...)
	v = append(v, stored[e.version.end:]...)

	s.uid = e.uid.moved(s.meta.start - e.meta.start)
	s.labels = e.labels.moved(s.version.end - e.version.end)
	if e.typeMeta.start > e.rawField { // an odd order, but a possible one
		s.typeMeta = e.typeMeta.moved(len(v) - len(stored))
	}
	return v, s
}
