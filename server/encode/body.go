package encode

import (
	"compress/gzip"
	"net/http"
	"sync"

	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"
)

// A Body is the body of one answer. Its headers go out with its first bytes, so
// until [Body.Started] an error can still be answered instead. A body of more
// than compressFrom bytes is compressed for clients that accept it.
type Body struct {
	w         http.ResponseWriter
	mediaType string
	status    int // 0 once it is sent
	compress  bool

	buffer     *[]byte
	compressed *gzip.Writer
}

const (
	compressFrom = 128 << 10
	// bufferSize is what is handed to the connection at once. Each hand-over
	// costs a switch between goroutines in HTTP/2, so it is large, and larger
	// than compressFrom, so that the first tells whether to compress.
	bufferSize = 256 << 10
	// bufferFrom is from how many bytes on a piece of a body that was started is
	// handed over as it is.
	bufferFrom = 64 << 10
)

// Pools only save allocations. Buffers in them have the size that they grew to.
type pools struct{ buffers, compressors sync.Pool }

var pooled = pools{
	buffers: sync.Pool{New: func() any { return new([]byte) }},
	compressors: sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for an unknown level only
		return w
	}},
}

// NewBody starts an answer; nothing is sent before it holds bufferSize bytes or
// is closed. The caller must Close or Discard it.
func NewBody(w http.ResponseWriter, r *http.Request, status int, mediaType string) *Body {
	return &Body{
		w: w, mediaType: mediaType, status: status,
		compress: responsewriters.ContentEncodingSupported(r, features.APIResponseCompression) != "",
	}
}

// Started says whether headers were sent.
func (b *Body) Started() bool { return b.status == 0 }

func (b *Body) Write(p []byte) (int, error) {
	if b.Started() && len(p) >= bufferFrom {
		if err := b.flush(); err != nil {
			return 0, err
		}
		return len(p), b.send(p)
	}
	if b.buffer == nil {
		b.buffer = pooled.buffers.Get().(*[]byte)
	}
	if len(*b.buffer)+len(p) > bufferSize {
		if err := b.flush(); err != nil {
			return 0, err
		}
		if len(p) >= bufferSize {
			return len(p), b.send(p)
		}
	}
	*b.buffer = append(*b.buffer, p...)
	return len(p), nil
}

func (b *Body) flush() error {
	if b.buffer == nil || len(*b.buffer) == 0 {
		return nil
	}
	err := b.send(*b.buffer)
	*b.buffer = (*b.buffer)[:0]
	return err
}

// Close sends what is left.
func (b *Body) Close() error {
	err := b.flush()
	if err == nil && !b.Started() {
		b.start(0)
	}
	if b.compressed != nil {
		if closeErr := b.compressed.Close(); err == nil {
			err = closeErr
		}
	}
	b.Discard()
	return err
}

// Discard forgets what was not sent.
func (b *Body) Discard() {
	if b.buffer != nil {
		*b.buffer = (*b.buffer)[:0]
		pooled.buffers.Put(b.buffer)
		b.buffer = nil
	}
	if b.compressed != nil {
		b.compressed.Reset(nil)
		pooled.compressors.Put(b.compressed)
		b.compressed = nil
	}
}

// start sends the headers; size is that of the first bytes.
func (b *Body) start(size int) {
	header := b.w.Header()
	header.Set("Content-Type", b.mediaType)
	if b.compress && size > compressFrom {
		header.Set("Content-Encoding", "gzip")
		header.Add("Vary", "Accept-Encoding")
		b.compressed = pooled.compressors.Get().(*gzip.Writer)
		b.compressed.Reset(b.w)
	}
	b.w.WriteHeader(b.status)
	b.status = 0
}

func (b *Body) send(p []byte) error {
	if !b.Started() {
		b.start(len(p))
	}
	var err error
	if b.compressed != nil {
		_, err = b.compressed.Write(p)
	} else {
		_, err = b.w.Write(p)
	}
	return err
}

// Bytes answers with a body that is there already. It is not copied unless it is
// compressed.
func Bytes(w http.ResponseWriter, r *http.Request, status int, mediaType string, body []byte) {
	b := NewBody(w, r, status, mediaType)
	if b.send(body) == nil {
		_ = b.Close() // the client is gone, there is nobody to tell
	} else {
		b.Discard()
	}
}
