package objects

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// errForm means that bytes are not in the form that the API's encoders write.
// They may still be a valid encoding, which only a real decoder can tell.
var errForm = errors.New("not in the form that the encoder writes")

// A wireReader visits the fields of one protobuf message.
type wireReader struct {
	buf []byte
	at  int

	// The field that next found.
	number  int
	start   int    // offset of its tag
	value   []byte // content of a length-delimited field, else nil
	integer uint64 // value of a varint field
	err     error
}

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// next moves to the next field; false at the end and when err is set.
func (r *wireReader) next() bool {
	r.start = r.at
	if r.at >= len(r.buf) {
		return false
	}
	tag, ok := r.varint()
	if !ok || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return r.fail()
	}
	r.number, r.value, r.integer = int(tag>>3), nil, 0
	switch tag & 7 {
	case wireBytes:
		size, ok := r.varint()
		if !ok || size > uint64(len(r.buf)-r.at) {
			return r.fail()
		}
		end := r.at + int(size)
		r.value = r.buf[r.at:end:end]
		r.at = end
		return true
	case wireVarint:
		if r.integer, ok = r.varint(); !ok {
			return r.fail()
		}
		return true
	case wireFixed64:
		r.at += 8
	case wireFixed32:
		r.at += 4
	default: // groups, which the API does not have
		return r.fail()
	}
	if r.at > len(r.buf) {
		return r.fail()
	}
	return true
}

func (r *wireReader) varint() (uint64, bool) {
	if r.at < len(r.buf) && r.buf[r.at] < 0x80 {
		r.at++
		return uint64(r.buf[r.at-1]), true
	}
	v, n := protowire.ConsumeVarint(r.buf[r.at:])
	if n < 0 {
		return 0, false
	}
	r.at += n
	return v, true
}

func (r *wireReader) fail() bool {
	r.err = errForm
	return false
}
