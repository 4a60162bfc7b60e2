package loopback

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// bufferSize is how much of a response waits for the caller or for a flush.
const bufferSize = 16 << 10

var errBodyClosed = errors.New("in-process caller closed the response body")

// An exchange is one request and its response. The handler's goroutine writes
// (as a [writer]), the caller reads (as a [body]); changed wakes either.
type exchange struct {
	cancel   func() // ends the handler's context
	headOnly bool   // HEAD: the body is dropped

	// Only the handler's goroutine uses these.
	header http.Header // what the handler edits

	mu      sync.Mutex
	changed sync.Cond
	status  int         // 0 until the handler wrote it
	sent    http.Header // header as it was when the status was written
	// The caller sees the head, and buffer[taken:flushed] followed by direct.
	headOut bool
	buffer  []byte
	taken   int
	flushed int
	direct  []byte // a large write in progress, read in place
	length  int64  // Content-Length when known, or -1

	done   bool  // the handler is finished and everything is flushed
	failed error // with done: the response is incomplete
	closed error // the caller is gone: why
}

func newExchange(cancel func(), headOnly bool) *exchange {
	e := &exchange{cancel: cancel, headOnly: headOnly, header: http.Header{}, length: -1}
	e.changed.L = &e.mu
	return e
}

// waitForHead returns when the response's status is known to the caller.
func (e *exchange) waitForHead() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for !e.headOut && !e.done && e.closed == nil {
		e.changed.Wait()
	}
	switch {
	case e.closed != nil:
		return e.closed
	case e.headOut:
		return nil
	default:
		return e.failed
	}
}

func (e *exchange) response(request *http.Request) *http.Response {
	return &http.Response{
		Status:     strconv.Itoa(e.status) + " " + http.StatusText(e.status),
		StatusCode: e.status,
		Proto:      "HTTP/2.0", ProtoMajor: 2,
		Header:        e.sent,
		ContentLength: e.length,
		Body:          (*body)(e),
		Request:       request,
	}
}

// close says that the caller takes no more of the response.
func (e *exchange) close(why error) {
	e.mu.Lock()
	if e.closed == nil && !e.done {
		e.closed = why
		e.changed.Broadcast()
	}
	e.mu.Unlock()
	e.cancel()
}

// finish says that the handler writes no more.
func (e *exchange) finish(failure error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if failure == nil {
		e.writeStatus(http.StatusOK)
		if !e.headOut {
			e.length = int64(len(e.buffer))
			if e.headOnly {
				e.length = declaredLength(e.sent)
			}
		}
		e.flush()
	}
	e.done, e.failed = true, failure
	e.changed.Broadcast()
}

// A body is the caller's side.
type body exchange

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case b.closed != nil:
			return 0, b.closed
		case b.taken < b.flushed:
			n := copy(p, b.buffer[b.taken:b.flushed])
			b.taken += n
			if b.taken == len(b.buffer) {
				b.buffer, b.taken, b.flushed = b.buffer[:0], 0, 0
			}
			return n, nil
		case len(b.direct) > 0:
			n := copy(p, b.direct)
			b.direct = b.direct[n:]
			if len(b.direct) == 0 {
				b.changed.Broadcast()
			}
			return n, nil
		case b.done && b.failed != nil:
			return 0, b.failed
		case b.done:
			return 0, io.EOF
		}
		b.changed.Wait()
	}
}

// Close ends the handler's context; it does not wait for the handler.
func (b *body) Close() error {
	(*exchange)(b).close(errBodyClosed)
	return nil
}
