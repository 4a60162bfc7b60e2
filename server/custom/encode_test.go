package custom

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func sameEncoding(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	var got, want bytes.Buffer
	gotErr := documentEncoder{unstructured.UnstructuredJSONScheme}.Encode(u, &got)
	wantErr := unstructured.UnstructuredJSONScheme.Encode(u, &want)
	if (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("error %v, want %v", gotErr, wantErr)
	}
	if wantErr == nil && got.String() != want.String() {
		t.Errorf("got  %q\nwant %q", got.String(), want.String())
	}
}

func TestDocumentsAreEncodedAsUpstreamDoes(t *testing.T) {
	text := strings.Repeat("long ", 20)
	for _, value := range []any{
		nil, true, false, "", "plain", "<a href=\"x\">&\\\n\t\x00\u2028\u2029äö\xff", text,
		int64(0), int64(-5), int64(math.MaxInt64), int64(math.MinInt64),
		0.0, 1.0, -1.5, 1e-7, 1e20, 1e21, 123456789.125, math.MaxFloat64, math.NaN(),
		[]any{}, []any(nil), []any{nil, "a", int64(1), []any{map[string]any{}}},
		map[string]any{}, map[string]any(nil), map[string]any{"b": "1", "a": int64(2), "<c>": nil, "ä": true, "a.b": []any{1.5}},
		int(3), []string{"other", "types"},
	} {
		sameEncoding(t, &unstructured.Unstructured{Object: map[string]any{"kind": "Thing", "apiVersion": "example.com/v1", "value": value}})
	}
	sameEncoding(t, &unstructured.Unstructured{})
}

func FuzzDocumentEncoder(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"example.com/v1","kind":"Thing","spec":{"a":[1,2.5,"x",null,{"b":true}]}}`))
	f.Add([]byte(`{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"<>&"},"spec":{"\u2028":1e30,"z":-0.0}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return
		}
		sameEncoding(t, u)
	})
}
