package objects

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/storage"
)

// A Part is some of the fields of a resource's objects: those that somebody looks
// at who needs no others, so that the others need not be decoded.
type Part struct {
	fields []*Part // by number; nil: it is left out
	whole  bool    // all fields
}

// Part is the fields at the paths, which are JSON names, of the storage version.
// Of lists it is the field of each element.
func (s *Store) Part(paths ...string) (*Part, error) {
	p := &Part{}
	for _, path := range paths {
		if err := p.add(reflect.TypeOf(s.form.stored).Elem(), path); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", path, s.resource, err)
		}
	}
	return p, nil
}

func (p *Part) add(t reflect.Type, path string) error {
	for name := range strings.SplitSeq(path, ".") {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		field, number, ok := fieldByName(t, name)
		if !ok {
			return fmt.Errorf("%s has no field %s", t, name)
		}
		if missing := number + 1 - len(p.fields); missing > 0 {
			p.fields = append(p.fields, make([]*Part, missing)...)
		}
		if p.fields[number] == nil {
			p.fields[number] = &Part{}
		}
		t, p = field, p.fields[number]
	}
	p.whole = true
	return nil
}

// append appends what the part has of a message.
func (p *Part) append(dst, message []byte) ([]byte, error) {
	r := wireReader{buf: message}
	for r.next() {
		if r.number >= len(p.fields) || p.fields[r.number] == nil {
			continue
		}
		field := p.fields[r.number]
		if field.whole || r.value == nil {
			dst = append(dst, message[r.start:r.at]...)
			continue
		}
		// Its length is known afterwards. Decoders take one that is padded to a
		// fixed size.
		const lengthSize = 5
		dst = binary.AppendUvarint(dst, uint64(r.number)<<3|wireBytes)
		start := len(dst) + lengthSize
		var err error
		if dst, err = field.append(append(dst, make([]byte, lengthSize)...), r.value); err != nil {
			return nil, err
		}
		length := len(dst) - start
		for i := range lengthSize - 1 {
			dst[start-lengthSize+i] = byte(length>>(7*i)) | 0x80
		}
		dst[start-1] = byte(length >> (7 * (lengthSize - 1)))
	}
	return dst, r.err
}

var partBuffers = sync.Pool{New: func() any { return new([]byte) }}

// DecodePart is [Store.Decode] of the fields of a part. The others have their
// defaults, or what upstream's defaulting makes of there being none.
func (s *Store) DecodePart(o *storage.Object, p *Part) (runtime.Object, error) {
	if o.Err != nil || s.form.native == nil {
		return s.Decode(o)
	}
	buffer := partBuffers.Get().(*[]byte)
	defer partBuffers.Put(buffer)
	body, err := p.append((*buffer)[:0], o.Body())
	if err != nil {
		return s.Decode(o) // which may know better
	}
	*buffer = body
	obj := s.newObject()
	return obj, s.form.decodeBody(body, obj)
}
