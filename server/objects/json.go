package objects

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/howdah/howdah/storage"
)

// describeJSON is for values that are JSON documents: custom resources.
func (s *Store) describeJSON(stored []byte, revision int64) (*storage.Object, error) {
	value, err := spliceJSON(stored, revision)
	if err != nil {
		return nil, err
	}
	var object struct {
		Metadata struct {
			UID    string            `json:"uid"`
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	metadata, _, err := member(value, whole(value), "metadata")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(metadata.of(value), &object.Metadata); err != nil {
		return nil, err
	}
	set, err := s.jsonFields(value)
	if err != nil {
		return nil, err
	}
	return &storage.Object{
		Value: value, Body: value,
		UID:    object.Metadata.UID,
		Labels: labels.Set(object.Metadata.Labels),
		Fields: set,
	}, nil
}

// jsonFields reads the selectable fields of a JSON document; what is not there
// or no scalar has the empty value.
func (s *Store) jsonFields(value []byte) (fields.Set, error) {
	set := make(fields.Set, len(s.plan.fields))
	for _, f := range s.plan.fields {
		at := whole(value)
		for _, name := range strings.Split(f.name, ".") {
			next, _, err := member(value, at, name)
			if err != nil {
				return nil, err
			}
			if at = next; at == (span{}) {
				break
			}
		}
		set[f.name] = scalar(at.of(value))
	}
	return set, nil
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
