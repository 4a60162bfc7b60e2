package reconcile

import (
	"errors"
	"strings"
	"testing"
)

func TestBrief(t *testing.T) {
	if got := Brief(errors.New("short")); got != "short" {
		t.Error(got)
	}
	if got := Brief(errors.New(strings.Repeat("é", 200_000))); len(got) > 1100 || !strings.HasPrefix(got, "éé") || !strings.HasSuffix(got, "é... (400000 bytes)") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
