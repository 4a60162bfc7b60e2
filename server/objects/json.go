package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/howdah/howdah/storage"
)

// describedJSON is an object that is a JSON document: a custom resource. Its
// labels and fields are read from where they stand.
type describedJSON struct {
	storage.Object
	metadata span // in Value
	foreign  bool // as of [described]
}

// describeJSON knows nothing of the resource but that its objects are documents:
// what a definition says of them can change while they are in the cache.
func describeJSON(stored []byte, revision int64) (*storage.Object, error) {
	d := &describedJSON{}
	value, err := spliceJSON(stored, revision)
	if errors.Is(err, errForm) {
		d.foreign = true
		value, err = normalizeJSON(stored, revision)
	}
	if err != nil {
		return nil, err
	}
	if d.metadata, _, err = member(value, whole(value), "metadata"); err != nil {
		return nil, err
	}
	uid, _, err := member(value, d.metadata, "uid")
	if err != nil {
		return nil, err
	}
	d.SetValue(value, 0, len(value)) // and not packed: selectors read any of its fields
	d.UID = scalar(uid.of(value))
	d.Labels, d.Fields = (*jsonLabels)(d), (*jsonFields)(d)
	return &d.Object, nil
}

// normalizeJSON is spliceJSON for documents in any form.
func normalizeJSON(stored []byte, revision int64) ([]byte, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(stored); err != nil {
		return nil, err
	}
	written, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return spliceJSON(bytes.TrimSuffix(written, []byte("\n")), revision)
}

// jsonLabels reads the labels of a document. What is no string is no label.
type jsonLabels describedJSON

// All yields the labels in the order of the document.
func (l *jsonLabels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		labels, _, err := member(l.Value(), l.metadata, "labels")
		if err != nil || labels.len() == 0 || l.Value()[labels.start] != '{' {
			return
		}
		j := jsonReader{l.Value()[:labels.end], labels.start + 1}
		for j.space(); j.at < labels.end-1; j.space() {
			name := j.next()
			j.space()
			if value := j.next(); value[0] == '"' && !yield(scalar(name), scalar(value)) {
				return
			}
		}
	}
}

func (l *jsonLabels) Lookup(label string) (string, bool) {
	for name, value := range l.All() {
		if name == label {
			return value, true
		}
	}
	return "", false
}

func (l *jsonLabels) Has(label string) bool {
	_, ok := l.Lookup(label)
	return ok
}

func (l *jsonLabels) Get(label string) string {
	value, _ := l.Lookup(label)
	return value
}

// jsonFields reads fields of a document by their paths ("spec.color"); what is
// not there or no scalar has the empty value.
type jsonFields describedJSON

func (f *jsonFields) Has(string) bool { return true }

func (f *jsonFields) Get(field string) string {
	at := whole(f.Value())
	for name := range strings.SplitSeq(field, ".") {
		next, _, err := member(f.Value(), at, name)
		if at = next; err != nil || at == (span{}) {
			return ""
		}
	}
	return scalar(at.of(f.Value()))
}

// scalar is a JSON value as a selector sees it.
func scalar(value []byte) string {
	var text string
	switch {
	case len(value) == 0 || value[0] == '{' || value[0] == '[' || value[0] == 'n':
		return ""
	case value[0] != '"':
		return string(value)
	case json.Unmarshal(value, &text) != nil:
		return ""
	}
	return text
}

// spliceJSON returns a copy of the document with the revision as
// metadata.resourceVersion. It fails with errForm where it can't be exact.
func spliceJSON(stored []byte, revision int64) ([]byte, error) {
	const name = "resourceVersion"
	if !json.Valid(stored) {
		return nil, errForm
	}
	metadata, _, err := member(stored, whole(stored), "metadata")
	if err != nil {
		return nil, err
	}
	if metadata.len() == 0 || stored[metadata.start] != '{' {
		return nil, errForm
	}
	version, next, err := member(stored, metadata, name)
	if err != nil {
		return nil, err
	}
	digits := strconv.AppendInt([]byte{'"'}, revision, 10)
	digits = append(digits, '"')
	value := make([]byte, 0, len(stored)+len(name)+len(digits)+4)
	if version.len() > 0 {
		value = append(value, stored[:version.start]...)
		value = append(value, digits...)
		return append(value, stored[version.end:]...), nil
	}
	// Where the encoder, which sorts, puts it: before next, or at the end.
	value = append(value, stored[:next.start]...)
	if last := bytes.TrimRight(stored[metadata.start:next.start], " \t\r\n"); next.len() == 0 && last[len(last)-1] != '{' {
		value = append(value, ',')
	}
	value = append(value, '"')
	value = append(value, name...)
	value = append(value, '"', ':')
	value = append(value, digits...)
	if next.len() > 0 {
		value = append(value, ',')
	}
	return append(value, stored[next.start:]...), nil
}

// whole is the document's span without the space around it.
func whole(document []byte) span {
	start := len(document) - len(bytes.TrimLeft(document, " \t\r\n"))
	return span{start, len(bytes.TrimRight(document, " \t\r\n"))}
}

// member finds the value of a name in the object at a span of a valid document;
// an empty span if it is not there or at is no object. before is the first
// member whose name sorts after, or the empty span at the object's end. A name
// that comes twice is errForm.
func member(document []byte, at span, name string) (value, before span, err error) {
	if at.len() == 0 || document[at.start] != '{' {
		return span{}, span{}, nil
	}
	before = span{at.end - 1, at.end - 1}
	placed := false
	j := jsonReader{document[:at.end], at.start + 1}
	for j.space(); j.at < at.end-1; j.space() {
		start := j.at
		j.value()
		key := scalar(document[start:j.at])
		j.space() // and the colon
		content := j.at
		j.value()
		switch {
		case key == name && value.len() > 0:
			return span{}, span{}, errForm
		case key == name:
			value = span{content, j.at}
		case key > name && !placed:
			before, placed = span{start, j.at}, true
		}
	}
	return value, before, nil
}

// A jsonReader steps through a valid document.
type jsonReader struct {
	document []byte
	at       int
}

// space skips space and the marks between values.
func (j *jsonReader) space() {
	for j.at < len(j.document) {
		switch j.document[j.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			j.at++
		default:
			return
		}
	}
}

// next returns one value.
func (j *jsonReader) next() []byte {
	start := j.at
	j.value()
	return j.document[start:j.at]
}

// value skips one value.
func (j *jsonReader) value() {
	depth := 0
	for j.at < len(j.document) {
		switch j.document[j.at] {
		case '"':
			for j.at++; j.at < len(j.document) && j.document[j.at] != '"'; j.at++ {
				if j.document[j.at] == '\\' {
					j.at++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // the end of what the number or word stood in
			}
			depth--
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return
			}
			j.at++
			continue
		default: // part of a number or word
			j.at++
			continue
		}
		j.at++
		if depth == 0 {
			return
		}
	}
}
