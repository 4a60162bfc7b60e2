package storage

import "github.com/klauspost/compress/s2"

// A value is the bytes of an object, and where in them the object message
// stands. Large ones can be packed: most of what is large in a cluster, such as
// CustomResourceDefinitions with their schemas, repeats itself and is hardly
// ever read.
type value struct {
	bytes []byte // packed if they are less than size
	size  int32
	body  struct{ start, end int32 }
}

// packable is the size from which on packing is tried. Below it, where nearly all
// objects are that are read often, a read must not cost more than a copy.
const packable = 16 << 10

// SetValue gives the object its value, of which the part from start to end is
// its body. The bytes are the object's to keep.
func (o *Object) SetValue(bytes []byte, start, end int) {
	o.value = value{bytes: bytes, size: int32(len(bytes))}
	o.value.body.start, o.value.body.end = int32(start), int32(end)
}

// Pack compresses the value if it is large and becomes much smaller by it, and
// says whether it did. What aliases the value then keeps the memory that it took.
func (o *Object) Pack() bool {
	if o.value.size < packable || o.packed() {
		return false
	}
	packed := s2.Encode(nil, o.value.bytes)
	if len(packed) > int(o.value.size)/2 {
		return false
	}
	o.value.bytes = append(make([]byte, 0, len(packed)), packed...) // Encode takes room for the worst case
	return true
}

func (o *Object) packed() bool { return len(o.value.bytes) < int(o.value.size) }

// Value is the whole answer to a GET in the storage encoding: the stored bytes
// with the revision spliced into metadata.resourceVersion. It must not be changed.
func (o *Object) Value() []byte {
	if !o.packed() {
		return o.value.bytes
	}
	plain, err := s2.Decode(nil, o.value.bytes)
	if err != nil {
		panic("storage: the memory of " + o.Key + " is broken: " + err.Error())
	}
	return plain
}

// Body is the part of Value that is the object message itself, without the
// envelope; equal to Value for JSON.
func (o *Object) Body() []byte {
	return o.Value()[o.value.body.start:o.value.body.end:o.value.body.end]
}

// Len is the length of Value, which is not touched for it.
func (o *Object) Len() int { return int(o.value.size) }

// Enveloped says whether Body is not all of Value, without touching it.
func (o *Object) Enveloped() bool { return o.value.body.end-o.value.body.start != o.value.size }
