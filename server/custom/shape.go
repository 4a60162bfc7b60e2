package custom

import (
	"bytes"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

// A shape tells of a stored document whether a read would give it as it stands:
// whether decoding has nothing to prune, to default or to repair. It errs on the
// side of no, and reads the document once, without making anything of it.
type shape struct {
	fields    map[string]*shape
	further   *shape // fields beside those; nil: there are none
	anything  bool   // fields beside those are kept, whatever they are
	items     *shape
	defaults  int  // how many of the fields have a default
	defaulted bool // it has one itself
	unsure    bool // it can't be told here
}

// newShape is the shape of what a schema describes; nil describes the empty object.
func newShape(s *schema.Structural) *shape {
	if s == nil {
		return &shape{}
	}
	made := &shape{
		anything: s.XPreserveUnknownFields, defaulted: s.Default.Object != nil,
		unsure: s.XEmbeddedResource,
	}
	if len(s.Properties) > 0 {
		made.fields = make(map[string]*shape, len(s.Properties))
	}
	for name, property := range s.Properties {
		field := newShape(&property)
		made.fields[name] = field
		if field.defaulted {
			made.defaults++
		}
	}
	if s.AdditionalProperties != nil {
		made.further = newShape(s.AdditionalProperties.Structural)
	}
	switch {
	case s.Items != nil && s.XPreserveUnknownFields:
		made.unsure = true // what is kept in the items then is a rule of its own
	case s.Items != nil:
		made.items = newShape(s.Items)
	case !s.XPreserveUnknownFields:
		made.items = &shape{}
	}
	return made
}

// fits says whether the whole document, which is valid JSON, has the shape.
func (s *shape) fits(document []byte) bool {
	r := reader{document: document}
	return r.root(s)
}

// A reader walks a valid JSON document.
type reader struct {
	document []byte
	at       int
}

// next is the first byte of the next token.
func (r *reader) next() byte {
	for r.at < len(r.document) {
		switch c := r.document[r.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			r.at++
		default:
			return c
		}
	}
	return 0
}

func (r *reader) root(s *shape) bool {
	if s.unsure || r.next() != '{' {
		return false
	}
	r.at++
	defaults, named := 0, 0
	for r.next() == '"' {
		name, plain := r.text()
		if !plain {
			return false
		}
		r.next()
		switch string(name) {
		case "apiVersion", "kind":
			if named++; r.next() != '"' {
				return false
			}
			r.skip()
		case "metadata":
			if named++; !r.metadata() {
				return false
			}
		default:
			if !r.member(s, name, &defaults) {
				return false
			}
		}
	}
	return named == 3 && defaults == s.defaults
}

func (r *reader) value(s *shape) bool {
	switch r.next() {
	case 'n', 0:
		return false // nulls have rules of their own
	case '{':
		return r.object(s)
	case '[':
		return r.array(s)
	}
	r.skip()
	return true
}

func (r *reader) object(s *shape) bool {
	if s.unsure {
		return false
	}
	r.at++
	defaults := 0
	for r.next() == '"' {
		name, plain := r.text()
		if r.next(); !plain || !r.member(s, name, &defaults) {
			return false
		}
	}
	r.at++
	return defaults == s.defaults
}

// member reads the value of an object's member and counts those with defaults.
func (r *reader) member(s *shape, name []byte, defaults *int) bool {
	if field := s.fields[string(name)]; field != nil {
		if field.defaulted {
			*defaults++
		}
		return r.value(field)
	}
	if s.further != nil {
		return r.value(s.further)
	}
	if s.anything {
		r.skip()
	}
	return s.anything
}

func (r *reader) array(s *shape) bool {
	if s.unsure {
		return false
	}
	if s.items == nil {
		r.skip()
		return true
	}
	r.at++
	for r.next() != ']' {
		if !r.value(s.items) {
			return false
		}
	}
	r.at++
	return true
}

// metadata reads an object's metadata, which must be what encoding it gives.
func (r *reader) metadata() bool {
	if r.next() != '{' {
		return false
	}
	r.at++
	needed := 0
	for r.next() == '"' {
		name, plain := r.text()
		if !plain {
			return false
		}
		first := r.next()
		switch string(name) {
		case "creationTimestamp", "uid", "name":
			needed++
			fallthrough
		case "namespace", "resourceVersion", "generateName", "selfLink", "deletionTimestamp":
			if first != '"' {
				return false
			}
			r.skip()
		case "generation":
			if needed++; first < '1' || first > '9' {
				return false
			}
			r.skip()
		case "deletionGracePeriodSeconds":
			if first < '0' || first > '9' {
				return false
			}
			r.skip()
		case "labels", "annotations":
			if first != '{' || !r.texts() {
				return false
			}
		case "managedFields", "ownerReferences", "finalizers":
			if first != '[' {
				return false
			}
			r.skip() // nobody but us writes them
		default:
			return false
		}
	}
	r.at++
	return needed == 4
}

// texts reads an object of strings.
func (r *reader) texts() bool {
	r.at++
	for r.next() == '"' {
		r.skip()
		if r.next() != '"' {
			return false
		}
		r.skip()
	}
	r.at++
	return true
}

// text reads a string, and says whether it stands for itself.
func (r *reader) text() (content []byte, plain bool) {
	start := r.at + 1
	r.skip()
	content = r.document[start : r.at-1]
	return content, bytes.IndexByte(content, '\\') < 0
}

// skip goes behind the value that starts here.
func (r *reader) skip() {
	switch r.document[r.at] {
	case '"':
		r.skipText()
	case '{', '[':
		depth := 0
		for r.at < len(r.document) {
			switch r.document[r.at] {
			case '"':
				r.skipText()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if r.at++; depth == 0 {
				return
			}
		}
	default:
		for r.at < len(r.document) {
			switch r.document[r.at] {
			case ',', '}', ']', ' ', '\t', '\n', '\r':
				return
			}
			r.at++
		}
	}
}

func (r *reader) skipText() {
	for r.at++; r.at < len(r.document) && r.document[r.at] != '"'; r.at++ {
		if r.document[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
}
