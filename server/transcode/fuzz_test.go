package transcode

import (
	"encoding/json"
	"reflect"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// FuzzAppendJSON gives plans any bytes; the oracle is decoding and encoding.
func FuzzAppendJSON(f *testing.F) {
	var plans []*Plan
	for i, goType := range []reflect.Type{
		reflect.TypeFor[corev1.Pod](), reflect.TypeFor[corev1.Secret](), reflect.TypeFor[coordinationv1.Lease](),
		reflect.TypeFor[certificatesv1.CertificateSigningRequest](), reflect.TypeFor[apiextensionsv1.CustomResourceDefinition](),
	} {
		p, err := For(goType)
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
		for seed := range int64(8) {
			o := reflect.New(goType).Interface().(object)
			filler(seed, 0.6).Fill(o)
			if body, err := o.Marshal(); err == nil && len(body) < 4096 {
				f.Add(uint8(i), body)
			}
		}
	}
	// A message in two parts, a map out of order, a field nobody knows, a number too long.
	f.Add(uint8(0), []byte{0x0a, 3, 0x0a, 1, 'a', 0x0a, 3, 0x1a, 1, 'b'})
	f.Add(uint8(1), []byte{0x12, 6, 0x0a, 1, 'b', 0x12, 1, 'x', 0x12, 6, 0x0a, 1, 'a', 0x12, 1, 'x'})
	f.Add(uint8(0), []byte{0xf8, 0x07, 1, 0x0a, 0})
	f.Add(uint8(1), []byte{0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		check(t, plans[int(which)%len(plans)], body, "", "")
	})
}

func FuzzString(f *testing.F) {
	f.Add([]byte("a<b>&\"\\\u2028\u2029\xff\xe2\x80\x7f\x00\b\f\n\r\té"))
	f.Fuzz(func(t *testing.T, s []byte) {
		want, err := json.Marshal(string(s))
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendString(nil, s); string(got) != string(want) {
			t.Errorf("%q is written %s, want %s", s, got, want)
		}
	})
}

// FuzzFieldSet: what is copied is what encoding/json would write.
func FuzzFieldSet(f *testing.F) {
	f.Add([]byte(`{"f:a":{".":{},"k:{\"b\":\"c\"}":{}},"f:d":{}}`))
	f.Add([]byte(`{},{}`))
	f.Add([]byte(`{"a":{}}}`))
	f.Add([]byte(`{"a\\":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !fieldSet(b) {
			return
		}
		want, err := json.Marshal(json.RawMessage(b))
		if err != nil || string(want) != string(b) {
			t.Errorf("%s is written %s, %v", b, want, err)
		}
	})
}
