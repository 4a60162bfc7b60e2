package transcode

import (
	"encoding/binary"
	"math"
)

const (
	maxBody  = math.MaxInt32
	maxDepth = 200
)

// A slot is what the scan found of a field: the number, or where its content
// begins (high half) and ends; for what comes repeatedly, where the first tag
// begins and the last field ends.
type slot struct {
	value uint64
	count uint32
}

func span(from, to int) uint64      { return uint64(from)<<32 | uint64(to) }
func (s slot) span() (from, to int) { return int(s.value >> 32), int(uint32(s.value)) }

// scan fills in the slots of a message that is at body[at:end].
func (m *message) scan(slots []slot, body []byte, at, end int) bool {
	body = body[:end]
	for at < end {
		start := at
		var tag uint64
		if tag = uint64(body[at]); tag < 0x80 {
			at++
		} else if tag, at = varint(body, at); at < 0 || tag > math.MaxInt32 {
			return false
		}
		var value uint64
		switch tag & 7 {
		case wireBytes:
			var size uint64
			if at < end && body[at] < 0x80 {
				size = uint64(body[at])
				at++
			} else if size, at = varint(body, at); at < 0 {
				return false
			}
			if size > uint64(end-at) {
				return false
			}
			value = span(at, at+int(size))
			at += int(size)
		case wireVarint:
			if value, at = varint(body, at); at < 0 {
				return false
			}
		case wireFixed64:
			if end-at < 8 {
				return false
			}
			value = binary.LittleEndian.Uint64(body[at:])
			at += 8
		default:
			return false
		}
		number := tag >> 3
		if number == 0 {
			return false
		}
		if number >= uint64(len(m.byNumber)) {
			continue // Unmarshal skips what it doesn't know, too
		}
		place := m.byNumber[number]
		if place.slot == 0 {
			continue
		}
		s := &slots[place.slot-1]
		if uint64(place.wire) != tag&7 || place.merges && s.count > 0 {
			return false
		}
		if place.repeated {
			if s.count == 0 {
				s.value = span(start, at)
			} else {
				s.value = s.value&^math.MaxUint32 | uint64(at)
			}
		} else {
			s.value = value
		}
		s.count++
	}
	return true
}

// varint reads a number at body[at:]; it answers where it ends, -1 if nowhere.
func varint(body []byte, at int) (uint64, int) {
	if at < len(body) && body[at] < 0x80 {
		return uint64(body[at]), at + 1
	}
	v, n := binary.Uvarint(body[min(at, len(body)):])
	if n <= 0 {
		return 0, -1
	}
	return v, at + n
}

// next takes a field at body[at:] that has been scanned before.
func next(body []byte, at int) (tag, value uint64, after int) {
	tag, at = varint(body, at)
	switch tag & 7 {
	case wireBytes:
		var size uint64
		size, at = varint(body, at)
		return tag, span(at, at+int(size)), at + int(size)
	case wireFixed64:
		return tag, binary.LittleEndian.Uint64(body[at:]), at + 8
	}
	value, at = varint(body, at)
	return tag, value, at
}
