package storage

import (
	"fmt"
	"testing"
)

// TestForgottenChanges: what memory has forgotten is told from the database.
func TestForgottenChanges(t *testing.T) {
	t.Parallel()
	s, c := started(t, newMemoryDriver())
	first := s.Revision()
	for i := range 10 {
		if _, err := s.Write(t.Context(), Write{Key: fmt.Sprintf("%sa/%d", things, i), Value: []byte("v=1")}); err != nil {
			t.Fatal(err)
		}
	}
	_, before := s.hub.sizes()
	s.hub.forget(first + 6)
	if _, after := s.hub.sizes(); after <= 0 || after >= before {
		t.Errorf("%d bytes are kept of %d", after, before)
	}
	if _, reaches := s.hub.since(c, first+5); reaches {
		t.Error("memory claims to reach back to what it forgot")
	}
	if changes, reaches := s.hub.since(c, first+6); !reaches || len(changes) != 4 {
		t.Errorf("memory has %d of the 4 changes that it is to keep", len(changes))
	}
	w, err := c.Watch(t.Context(), WatchOptions{After: first})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for seen := 0; seen < 10; {
		deliveries, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen += len(deliveries)
	}
}
