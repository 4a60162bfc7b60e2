package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// The tests' objects are text: a line of "name=value" words, of which those that begin
// with "f." are fields and the others labels. "broken" can't be described.
func describeText(key string, stored []byte, revision int64) (*Object, error) {
	if bytes.HasPrefix(stored, []byte("broken")) {
		return nil, errors.New("broken on purpose")
	}
	name := key[strings.LastIndexByte(key, '/')+1:]
	parent := strings.Split(strings.TrimSuffix(key, "/"+name), "/")
	ls, fs := labels.Set{}, fields.Set{"metadata.name": name, "metadata.namespace": parent[len(parent)-1]}
	words, _, _ := bytes.Cut(stored, []byte("\n"))
	for _, word := range strings.Fields(string(words)) {
		n, v, ok := strings.Cut(word, "=")
		switch {
		case !ok:
		case strings.HasPrefix(n, "f."):
			fs[n] = v
		default:
			ls[n] = v
		}
	}
	value := fmt.Appendf(nil, "%s @%d", stored, revision)
	o := &Object{Labels: ls, Fields: fs}
	o.SetValue(value, 0, len(stored))
	return o, nil
}

const things = "/registry/things/"

// started returns a running store on the driver, that is stopped at the end.
func started(t testing.TB, d Driver, change ...func(*Options)) (*Store, *Collection) {
	t.Helper()
	s, c := newTextStore(t, d, change...)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func newTextStore(t testing.TB, d Driver, change ...func(*Options)) (*Store, *Collection) {
	t.Helper()
	o := Options{Driver: d, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Register(things, describeText, "f.node")
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s, c
}

func mustWrite(t testing.TB, s *Store, key, value string, expect int64) int64 {
	t.Helper()
	w := Write{Key: key, Expect: expect}
	if value != "" {
		w.Value = []byte(value)
	}
	revision, err := s.Write(t.Context(), w)
	if err != nil {
		t.Fatalf("write %s: %v", key, err)
	}
	return revision
}

func text(o *Object) string {
	if o == nil {
		return ""
	}
	return string(o.Body())
}

func mustSelect(t testing.TB, label, field string) Selection {
	t.Helper()
	l, err := labels.Parse(label)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fields.ParseSelector(field)
	if err != nil {
		t.Fatal(err)
	}
	return Selection{Labels: l, Fields: f}
}

// scan returns the short keys, "namespace/name", that Scan yields.
func scan(s *Snapshot, prefix, after string, selection Selection) (keys []string) {
	s.Scan(prefix, after, selection, func(o *Object) bool {
		keys = append(keys, short(o.Key))
		return true
	})
	return keys
}

func short(key string) string {
	parts := strings.Split(key, "/")
	return strings.Join(parts[len(parts)-2:], "/")
}

// receive takes at least n deliveries.
func receive(t testing.TB, w *Watcher, n int) (got []string) {
	t.Helper()
	for len(got) < n {
		deliveries, err := w.Next(t.Context())
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		for _, d := range deliveries {
			got = append(got, fmt.Sprintf("%s %s@%d", d.Type, short(d.Object.Key), d.Change.Revision))
		}
	}
	return got
}
