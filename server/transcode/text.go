package transcode

import "unicode/utf8"

// plain has the ASCII characters that stand in JSON strings as they are.
var plain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return table
}()

// AppendString writes a string as encoding/json does, safe for HTML.
func AppendString(out, s []byte) []byte {
	out = append(out, '"')
	if !harmless(s) {
		return appendEscaped(out, s)
	}
	out = append(out, s...)
	return append(out, '"')
}

// appendEscaped writes the rest of a string and its closing quote.
func appendEscaped(out, s []byte) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				out = append(append(out, s[done:i]...), `\ufffd`...)
				done = i + size
			case r == '\u2028' || r == '\u2029':
				out = append(append(out, s[done:i]...), `\u202`...)
				out = append(out, hex[r&0xf])
				done = i + size
			}
			i += size
			continue
		}
		out = append(out, s[done:i]...)
		i++
		done = i
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\b':
			out = append(out, `\b`...)
		case '\f':
			out = append(out, `\f`...)
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	out = append(out, s[done:]...)
	return append(out, '"')
}
