package storage

import (
	"fmt"
	"testing"
)

func TestEncodings(t *testing.T) {
	s, c := started(t, newMemoryDriver(), func(o *Options) { o.EncodingBytes = 100_000 })
	made := 0
	get := func(o *Object, key any) {
		t.Helper()
		data, err := s.Encoding(o, key, func() ([]byte, error) {
			made++
			return append([]byte(o.Key), make([]byte, 1000)...), nil
		})
		if err != nil || string(data[:len(o.Key)]) != o.Key {
			t.Fatal("not this object's encoding")
		}
	}
	var revisions []int64
	object := func(i int) *Object {
		o, _ := c.Get(fmt.Sprint(things, "a/", i))
		return o
	}
	for i := range 300 {
		revisions = append(revisions, mustWrite(t, s, fmt.Sprint(things, "a/", i), "x", 0))
	}
	get(object(0), "json")
	get(object(0), "json")
	get(object(0), "yaml")
	if made != 2 {
		t.Errorf("made %d times", made)
	}
	// The one that is used all the time stays, the others take turns.
	for i := range 300 {
		get(object(i), "json")
		get(object(0), "json")
	}
	before := made
	get(object(0), "json")
	get(object(299), "json")
	if made != before {
		t.Error("what is in use was dropped")
	}
	if n := s.encodings.size(); n > 100_000 || n < 90_000 {
		t.Errorf("%d bytes are kept", n)
	}
	old := object(299)
	size := s.encodings.size()
	mustWrite(t, s, old.Key, "y", revisions[299])
	if s.encodings.size() >= size || old.encodings.Load() != nil {
		t.Error("the encoding of a replaced object is still kept")
	}
	size = s.encodings.size()
	get(old, "json")
	if s.encodings.size() != size {
		t.Error("an encoding of a replaced object was kept")
	}
	var sum int64
	for i, e := range s.encodings.ring {
		sum += e.size()
		if e.slot != i || e.object.encoding(e.key) != e {
			t.Fatal("the ring and the objects disagree")
		}
	}
	if sum != s.encodings.bytes {
		t.Errorf("counted %d bytes, there are %d", s.encodings.bytes, sum)
	}
}

func TestEncodingsDisabled(t *testing.T) {
	s, c := started(t, newMemoryDriver(), func(o *Options) { o.EncodingBytes = -1 })
	mustWrite(t, s, things+"a/x", "x", 0)
	o, _ := c.Get(things + "a/x")
	for range 2 {
		if _, err := s.Encoding(o, "json", func() ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if s.encodings.size() != 0 || o.encodings.Load() != nil {
		t.Error("something was kept")
	}
}
