package storage

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func TestPack(t *testing.T) {
	text := bytes.Repeat([]byte("description: what this field is for\n"), 2000)
	noise := make([]byte, len(text))
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		value  []byte
		packed bool
	}{
		{"nothing", nil, false},
		{"a small value", text[:packable-1], false},
		{"a large one that repeats itself", text, true},
		{"a large one that doesn't", noise, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &Object{}
			body := test.value
			o.SetValue(test.value, 0, len(test.value))
			if len(test.value) > 0 {
				body = test.value[4 : len(test.value)-1]
				o.SetValue(test.value, 4, len(test.value)-1)
			}
			if packed := o.Pack(); packed != test.packed || o.Pack() {
				t.Fatalf("packed: %v", packed)
			}
			if !bytes.Equal(o.Value(), test.value) || !bytes.Equal(o.Body(), body) || o.Len() != len(test.value) || o.Enveloped() != (len(body) < len(test.value)) {
				t.Error("it is no longer the same value")
			}
			if small := o.size() < int64(len(test.value)/2+overhead); small != test.packed && len(test.value) > 0 {
				t.Errorf("it takes %d bytes", o.size())
			}
		})
	}
}

// TestPackedCollection sums values as they are read, and memory as it is used.
func TestPackedCollection(t *testing.T) {
	text := bytes.Repeat([]byte("word "), 10000)
	s, err := New(Options{Driver: newMemoryDriver()})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Register(things, func(_ string, stored []byte, _ int64) (*Object, error) {
		o := Plain(stored)
		o.Pack()
		return o, nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop(t.Context())
	revision, err := s.Write(t.Context(), Write{Key: things + "a", Value: text})
	if err != nil {
		t.Fatal(err)
	}
	if n, size := c.Size(); n != 1 || size != int64(len(text)) {
		t.Errorf("%d objects of %d bytes", n, size)
	}
	if _, memory := s.cache.sizes(); memory >= int64(len(text)/2) {
		t.Errorf("they take %d bytes", memory)
	}
	if _, err := s.Write(t.Context(), Write{Key: things + "a", Expect: revision}); err != nil {
		t.Fatal(err)
	}
	if n, size := c.Size(); n != 0 || size != 0 {
		t.Errorf("%d objects of %d bytes are left", n, size)
	}
}
