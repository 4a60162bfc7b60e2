package objects

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"unsafe"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/howdah/howdah/storage"
)

// describe is the resource's [storage.Describe].
func (s *Store) describe(key string, stored []byte, revision int64) (*storage.Object, error) {
	switch {
	case bytes.HasPrefix(stored, []byte(protobufMagic())):
		if d := s.describeProtobuf(stored, revision); d != nil {
			return &d.Object, nil
		}
	case s.form.native == nil:
		return describeJSON(stored, revision)
	}
	return s.describeForeign(key, stored, revision)
}

// described is an object whose labels and fields stay in its value, unless that
// is packed.
type described struct {
	storage.Object
	labels []byte // the entries, as they stand in the value
	plan   *plan
	// foreign says that the database has the object in another form than Value:
	// a write of the same content changes it.
	foreign bool
}

// describeProtobuf returns nil for a value that is not in the resource's form.
func (s *Store) describeProtobuf(stored []byte, revision int64) *described {
	e, err := scanEnvelope(stored)
	if err != nil || !s.form.owns(e.typeMeta.of(stored)) {
		return nil
	}
	value, e := e.splice(stored, revision)
	d := &described{labels: e.labels.of(value), plan: s.plan}
	d.SetValue(value, e.raw.start, e.raw.end)
	d.UID = text(e.uid.of(value))
	d.Labels = (*labelView)(d)
	if s.plan.attributes == nil {
		d.Fields = (*fieldView)(d)
	} else if d.Fields, err = s.decodedFields(&d.Object); err != nil {
		return nil
	}
	if d.Pack() {
		d.detach(e.raw.of(value))
	}
	return d
}

// detach copies out of the value what selectors ask for.
func (d *described) detach(body []byte) {
	d.UID, d.labels = strings.Clone(d.UID), bytes.Clone(d.labels)
	if d.plan.attributes == nil {
		set := fields.Set{}
		for _, f := range d.plan.fields {
			set[f.name] = strings.Clone(f.read(body))
		}
		d.Fields = set
	}
}

// decodedFields asks upstream's function, for resources whose fields can't be
// read from where they stand.
func (s *Store) decodedFields(o *storage.Object) (fields.Set, error) {
	obj, err := s.Decode(o)
	if err != nil {
		return nil, err
	}
	_, set, err := s.plan.attributes(obj)
	return set, err
}

// describeForeign decodes a value that has another form than the resource's:
// another version, another serializer, or an encoding that the scanner can't be
// exact about.
func (s *Store) describeForeign(key string, stored []byte, revision int64) (*storage.Object, error) {
	obj := s.newObject()
	if err := s.form.decodeBytes(stored, obj); err != nil {
		return nil, err
	}
	if err := s.Versioner().UpdateObject(obj, uint64(revision)); err != nil {
		return nil, err
	}
	value, _, err := s.form.encode(obj)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(value, []byte(protobufMagic())) {
		d := s.describeProtobuf(value, revision)
		if d == nil {
			return nil, fmt.Errorf("the encoding of %s can't be read again", key)
		}
		d.foreign = true
		return &d.Object, nil
	}
	return describeJSON(value, revision)
}

// foreign says whether the database has the object in another form than the cache.
func foreign(o *storage.Object) bool {
	switch view := o.Labels.(type) {
	case *labelView:
		return view.foreign
	case *jsonLabels:
		return view.foreign
	}
	return false
}

// labelView reads the labels of an object from its value.
type labelView described

// All yields the labels in the order of their names.
func (l *labelView) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		r := wireReader{buf: l.labels}
		for r.next() {
			name, value, _ := mapEntry(r.value)
			if !yield(text(name), text(value)) {
				return
			}
		}
	}
}

func (l *labelView) Lookup(label string) (string, bool) {
	r := wireReader{buf: l.labels}
	for r.next() {
		if name, value, _ := mapEntry(r.value); string(name) == label {
			return text(value), true
		}
	}
	return "", false
}

func (l *labelView) Has(label string) bool {
	_, ok := l.Lookup(label)
	return ok
}

func (l *labelView) Get(label string) string {
	value, _ := l.Lookup(label)
	return value
}

// fieldView reads the selectable fields of an object from its value.
type fieldView described

func (f *fieldView) Has(field string) bool { return f.plan.find(field) != nil }

func (f *fieldView) Get(field string) string {
	if e := f.plan.find(field); e != nil {
		return e.read(f.Body())
	}
	return ""
}

// text is a string on immutable bytes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
