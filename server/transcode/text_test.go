package transcode

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestText has each byte at each place of strings around the size of a word.
func TestText(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				s := bytes.Repeat([]byte{'a' + byte(at)}, size)
				s[at] = byte(c)
				checkText(t, s)
			}
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "<a & b>\u2028 \"quoted\"\n\x01", "\xff\xfe", `back\slash`, "\u00e4 long text with one"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) { checkText(t, s) })
}

func checkText(t *testing.T, s []byte) {
	t.Helper()
	want, err := json.Marshal(string(s))
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendString([]byte("x"), s); string(got) != "x"+string(want) {
		t.Fatalf("%q: %s, want x%s", s, got, want)
	}
	document, err := json.Marshal(map[string]string{"k": string(s)})
	if err != nil {
		t.Fatal(err)
	}
	if !Compact(document) {
		return
	}
	if again, err := json.Marshal(json.RawMessage(document)); err != nil || !bytes.Equal(again, document) {
		t.Fatalf("%s becomes %s, %v", document, again, err)
	}
}
