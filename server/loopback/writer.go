package loopback

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// A writer is the handler's side.
type writer exchange

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		return // informational; the caller has no use for it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	(*exchange)(w).writeStatus(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := (*exchange)(w)
	e.writeStatus(http.StatusOK)
	if !e.headOut && len(e.buffer) == 0 && len(p) > 0 && e.sent["Content-Type"] == nil {
		e.sent.Set("Content-Type", http.DetectContentType(p))
	}
	switch {
	case e.closed != nil:
		return 0, e.closed
	case e.headOnly:
		return len(p), nil
	case e.status == http.StatusNoContent || e.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	}
	if len(e.buffer)+len(p) <= bufferSize {
		e.buffer = append(e.buffer, p...)
		return len(p), nil
	}
	e.direct = p
	e.flush()
	for len(e.direct) > 0 && e.closed == nil {
		e.changed.Wait()
	}
	n := len(p) - len(e.direct)
	e.direct = nil
	if e.closed != nil {
		return n, e.closed
	}
	return n, nil
}

// Flush implements [http.Flusher].
func (w *writer) Flush() { w.FlushError() }

// FlushError lets the caller see what was written. It returns an error once the
// caller is gone.
func (w *writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := (*exchange)(w)
	e.writeStatus(http.StatusOK)
	e.flush()
	return e.closed
}

// EnableFullDuplex implements what [http.ResponseController] looks for: the
// request body may be read while the response is written.
func (w *writer) EnableFullDuplex() error { return nil }

// writeStatus fixes the status and the header; the first call counts.
func (e *exchange) writeStatus(status int) {
	if e.status != 0 {
		return
	}
	e.status = status
	e.sent = maps.Clone(e.header)
	for name, values := range e.sent {
		e.sent[name] = slices.Clone(values)
	}
}

func (e *exchange) flush() {
	if !e.headOut {
		e.headOut = true
		if e.length < 0 {
			e.length = declaredLength(e.sent)
		}
	}
	e.flushed = len(e.buffer)
	e.changed.Broadcast()
}

func declaredLength(header http.Header) int64 {
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return -1
	}
	return length
}
