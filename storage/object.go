package storage

import (
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// Describe turns stored bytes into what the cache keeps. It runs once for each
// version of an object, and must be safe for concurrent use. The stored bytes
// are its to keep. The store fills in Key, Revision, Created and Expires of what it returns.
//
// An error does not stop the server: the object is kept as unreadable, see
// [Object.Err].
type Describe func(key string, stored []byte, revision int64) (*Object, error)

// Object is one version of one key as readers see it. It is shared and must not
// be changed.
type Object struct {
	Key      string
	Revision int64 // of the write that made this version
	Created  int64 // of the write that created the key
	Expires  time.Time

	value value
	UID   string
	// Labels that are a [labels.Set] or a [LabelRange] are indexed; selections
	// by other kinds of Labels read every object of the collection.
	Labels labels.Labels
	Fields fields.Fields

	// Err is set when the stored bytes could not be described, or not be opened
	// (it is then a [*SealError]). Value gives then
	// the stored bytes as they are, the rest is empty, and no selection but
	// the empty one knows whether it matches: [Snapshot.Scan] always yields it.
	Err error

	encodings  atomic.Pointer[[]*encoding]
	superseded atomic.Bool
}

// LabelRange is labels that can be listed, so that they can be indexed.
type LabelRange interface {
	labels.Labels
	All() iter.Seq2[string, string]
}

// overhead is about what an object costs in memory beside its value.
const overhead = 400

func (o *Object) size() int64 {
	if o == nil {
		return 0
	}
	return int64(len(o.value.bytes)) + int64(len(o.Key)) + overhead
}

func (o *Object) length() int64 {
	if o == nil {
		return 0
	}
	return int64(o.Len())
}

// Plain is an object that is nothing but a value.
func Plain(value []byte) *Object {
	o := &Object{}
	o.SetValue(value, 0, len(value))
	return o
}

// unreadable is a record as it is stored.
func unreadable(r Record, why error) *Object {
	o := Plain(r.Value)
	o.Err = why
	return o
}

// describeRecord runs describe and fills in what the record knows.
func describeRecord(describe Describe, r Record) *Object {
	var o *Object
	if r.Err != nil {
		o = unreadable(r, r.Err)
	} else if described, err := describe(r.Key, r.Value, r.Modified); err != nil {
		o = unreadable(r, fmt.Errorf("the stored bytes of %s (revision %d) can't be read: %w", r.Key, r.Modified, err))
	} else if described == nil {
		o = unreadable(r, fmt.Errorf("the stored bytes of %s (revision %d) describe no object", r.Key, r.Modified))
	} else {
		o = described
	}
	o.Key, o.Revision, o.Created, o.Expires = r.Key, r.Modified, r.Created, r.Expires
	return o
}

// Selection picks objects; nil selectors match all.
type Selection struct {
	Labels labels.Selector
	Fields fields.Selector
	// FieldsOf are the fields of an object that Fields selects by; nil: those that
	// it has.
	FieldsOf func(*Object) fields.Fields
}

// Empty says whether the selection matches everything.
func (s Selection) Empty() bool {
	s = s.simplified()
	return s.Labels == nil && s.Fields == nil
}

// Matches says whether the object is selected. An unreadable object is selected
// by the empty selection only.
func (s Selection) Matches(o *Object) bool {
	s = s.simplified()
	return s.matches(o)
}

// simplified has nil for selectors that match everything.
func (s Selection) simplified() Selection {
	if s.Labels != nil && s.Labels.Empty() {
		s.Labels = nil
	}
	if s.Fields != nil && s.Fields.Empty() {
		s.Fields = nil
	}
	return s
}

// matches is Matches of a simplified selection.
func (s Selection) matches(o *Object) bool {
	if s.Labels == nil && s.Fields == nil {
		return true
	}
	if o.Err != nil {
		return false
	}
	if s.Labels != nil && !s.Labels.Matches(o.labels()) {
		return false
	}
	switch {
	case s.Fields == nil:
		return true
	case s.FieldsOf != nil:
		return s.Fields.Matches(s.FieldsOf(o))
	}
	return s.Fields.Matches(o.fields())
}

func (o *Object) labels() labels.Labels {
	if o.Labels == nil {
		return labels.Set(nil)
	}
	return o.Labels
}

func (o *Object) fields() fields.Fields {
	if o.Fields == nil {
		return fields.Set(nil)
	}
	return o.Fields
}
