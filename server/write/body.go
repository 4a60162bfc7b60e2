package write

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// readBody reads the whole body, or refuses it when it is larger than limit.
// A body is taken as it is: a Content-Encoding is not looked at, as in
// kube-apiserver.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }()
	tooLarge := func() error {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", limit))
	}
	if r.ContentLength > limit {
		return nil, tooLarge()
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	// One byte more than the limit tells a body that is too large.
	n, err := body.ReadFrom(io.LimitReader(r.Body, limit+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	}
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge()
	}
	return body.Bytes(), nil
}
