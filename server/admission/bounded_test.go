package admission

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestLateAnswer: an answer that ends after its time is none, whole or not.
func TestLateAnswer(t *testing.T) {
	within, cancel := context.WithCancelCause(t.Context())
	body := &boundedBody{ReadCloser: io.NopCloser(strings.NewReader("  ")), within: within, left: maxAnswer}
	if _, err := body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel(context.DeadlineExceeded)
	if _, err := io.ReadAll(body); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the answer ends with %v", err)
	}
	body = &boundedBody{ReadCloser: io.NopCloser(strings.NewReader("  ")), within: t.Context(), left: maxAnswer}
	if answer, err := io.ReadAll(body); err != nil || string(answer) != "  " {
		t.Errorf("read %q: %v", answer, err)
	}
}
