package transcode

import "encoding/binary"

// harmless says whether all characters stand for themselves in a JSON string:
// they are printable ASCII and none of "&<>\. Most of what the API encodes is
// such text, so eight of them are looked at at once.
func harmless(s []byte) bool {
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64(s)
		// '"' and '&' differ in one bit, and so do '<' and '>'.
		if below(w, ' ')|beyond(w)|equal(w|4*ones, '&')|equal(w|2*ones, '>')|equal(w, '\\') != 0 {
			return false
		}
	}
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '&' || c == '<' || c == '>' || c == '\\' {
			return false
		}
	}
	return true
}

// Compact says whether JSON is as encoding/json would write it again: without
// blanks between its parts, and without characters that it escapes.
func Compact(s []byte) bool {
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64(s)
		if below(w, ' '+1)|beyond(w)|equal(w, '&')|equal(w|2*ones, '>') != 0 {
			return false
		}
	}
	for _, c := range s {
		if c <= ' ' || c > '~' || c == '&' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// The following are not 0 if one of eight bytes is what they look for.

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// below looks for bytes less than limit, which is at most 0x80.
func below(w, limit uint64) uint64 { return (w - limit*ones) &^ w & highs }

// beyond looks for bytes greater than '~', the last of ASCII that is printable.
func beyond(w uint64) uint64 { return (w + ones | w) & highs }

func equal(w, c uint64) uint64 { return below(w^c*ones, 1) }
