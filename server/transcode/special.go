package transcode

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The functions here write the types that write their JSON themselves, from the
// form that their encoders give them. They answer false for any other form.

// appendTime writes a metav1.Time: whole seconds, or null.
func appendTime(out, b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return append(out, "null"...), true
	}
	at, _, ok := timestamp(b)
	if !ok {
		return out, false
	}
	out = at.AppendFormat(append(out, '"'), time.RFC3339)
	return append(out, '"'), true
}

func appendMicroTime(out, b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return append(out, "null"...), true
	}
	at, nanos, ok := timestamp(b)
	if !ok {
		return out, false
	}
	out = at.Add(nanos.Truncate(time.Microsecond)).AppendFormat(append(out, '"'), metav1.RFC3339Micro)
	return append(out, '"'), true
}

// timestamp reads a time between 1970 and 9999, which is seconds and nanoseconds.
func timestamp(b []byte) (time.Time, time.Duration, bool) {
	const secondsTag, nanosTag, lastSecond = 1 << 3, 2 << 3, 253402300799
	if b[0] != secondsTag {
		return time.Time{}, 0, false
	}
	seconds, at := varint(b, 1)
	if at < 0 || seconds > lastSecond || at == len(b) || b[at] != nanosTag {
		return time.Time{}, 0, false
	}
	nanos, at := varint(b, at+1)
	if at != len(b) || nanos >= uint64(time.Second) {
		return time.Time{}, 0, false
	}
	return time.Unix(int64(seconds), 0).UTC(), time.Duration(nanos), true
}

// appendQuantity writes a resource.Quantity that is in its canonical form.
func appendQuantity(out, b []byte) ([]byte, bool) {
	const tag = 1<<3 | wireBytes
	if len(b) < 3 || b[0] != tag || int(b[1]) != len(b)-2 || !canonical(b[2:]) {
		return out, false
	}
	out = append(append(out, '"'), b[2:]...)
	return append(out, '"'), true
}

// canonical says of most quantities in their canonical form that they are, and of
// no others: a whole number that its suffix couldn't be larger for.
func canonical(b []byte) bool {
	digits, n := 0, 0
	for digits < len(b) && digits < 10 && b[digits] >= '0' && b[digits] <= '9' {
		n = n*10 + int(b[digits]-'0')
		digits++
	}
	if digits == 0 || digits > 9 || b[0] == '0' {
		return len(b) == 1 && b[0] == '0'
	}
	switch string(b[digits:]) {
	case "", "m", "k", "M", "G":
		return n%1000 != 0
	case "Ki", "Mi", "Gi":
		return n%1024 != 0
	}
	return false
}

// appendIntOrString writes an intstr.IntOrString: its type, number and string.
func appendIntOrString(out, b []byte) ([]byte, bool) {
	const typeTag, intTag, stringTag = 1 << 3, 2 << 3, 3<<3 | wireBytes
	const isInt, isString = 0, 1
	if len(b) < 6 || b[0] != typeTag || b[1] > isString || b[2] != intTag {
		return out, false
	}
	number, at := varint(b, 3)
	if at < 0 || at == len(b) || b[at] != stringTag {
		return out, false
	}
	size, at := varint(b, at+1)
	if at < 0 || size != uint64(len(b)-at) {
		return out, false
	}
	if b[1] == isInt {
		return strconv.AppendInt(out, int64(int32(number)), 10), true
	}
	return AppendString(out, b[at:]), true
}

// appendFieldsV1 copies the fields of a manager, which are JSON already, if they
// are objects within objects and need no compacting and no escapes.
func appendFieldsV1(out, b []byte) ([]byte, bool) {
	const tag = 1<<3 | wireBytes
	if len(b) < 4 || b[0] != tag {
		return out, false
	}
	size, at := varint(b, 1)
	if at < 0 || size != uint64(len(b)-at) || !fieldSet(b[at:]) {
		return out, false
	}
	return append(out, b[at:]...), true
}

// fieldSet says whether b is an object whose members are such objects, down to
// empty ones, with nothing that encoding/json would change.
func fieldSet(b []byte) bool {
	const maxDepth = 1000 // encoding/json has a limit, too
	at := 0
	for depth := 1; depth < maxDepth; depth++ {
		if at+1 >= len(b) || b[at] != '{' {
			return false
		}
		at++
		if b[at] == '}' {
			for at < len(b) && b[at] == '}' {
				at++
				if depth--; depth == 0 {
					return at == len(b)
				}
			}
			if at == len(b) || b[at] != ',' {
				return false
			}
			at++
		}
		if at = afterName(b, at); at < 0 {
			return false
		}
	}
	return false
}

// afterName is where a member's name at b[at:] and its colon end, -1 if nowhere.
func afterName(b []byte, at int) int {
	if at >= len(b) || b[at] != '"' {
		return -1
	}
	for at++; at+1 < len(b); at++ {
		switch c := b[at]; {
		case plain[c]:
		case c == '"' && b[at+1] == ':':
			return at + 2
		case c == '\\' && (b[at+1] == '"' || b[at+1] == '\\'):
			at++
		default:
			return -1
		}
	}
	return -1
}
