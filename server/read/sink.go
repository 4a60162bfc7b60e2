package read

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip" // half the CPU of the standard library's for frames of some KB
	"golang.org/x/net/websocket"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// A sink is where the frames of a watch go. A frame is there for the client
// after flush at the latest. Errors are of type sinkError: the client is gone.
type sink interface {
	write(frame []byte) error
	// writeShared is write for a frame that [events.delivery] made.
	writeShared(frame []byte) error
	writeParts(frame parts) error
	flush() error
}

type sinkError struct{ error }

// An httpSink writes chunks of a response's body. Between flushes it holds a
// buffer, none while the watch idles.
type httpSink struct {
	w          http.ResponseWriter
	control    *http.ResponseController
	compress   bool
	buffer     *bytes.Buffer
	compressor *gzip.Writer // of the member that is being written
}

type sinkPools struct{ buffers, frames, compressors sync.Pool }

var pooled = sinkPools{
	frames:  sync.Pool{New: func() any { return new([]byte) }},
	buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	compressors: sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for an unknown level only
		return w
	}},
}

func (p *sinkPools) giveBack(b *bytes.Buffer) {
	b.Reset()
	p.buffers.Put(b)
}

// newHTTPSink begins the answer.
func newHTTPSink(w http.ResponseWriter, e *events) *httpSink {
	header := w.Header()
	header.Set("Content-Type", e.format.StreamMediaType())
	if e.compress {
		header.Set("Content-Encoding", "gzip")
		header.Add("Vary", "Accept-Encoding")
	}
	w.WriteHeader(http.StatusOK)
	s := &httpSink{w: w, control: http.NewResponseController(w), compress: e.compress}
	_ = s.control.Flush() // the next one fails, too
	return s
}

const sinkBufferSize = 64 << 10

func (s *httpSink) write(frame []byte) error {
	if !s.compress {
		return s.writeShared(frame)
	}
	if s.compressor == nil {
		s.compressor = pooled.compressors.Get().(*gzip.Writer)
		s.compressor.Reset(s.held())
	}
	if _, err := s.compressor.Write(frame); err != nil {
		return sinkError{err}
	}
	return s.drainOver(sinkBufferSize)
}

func (s *httpSink) writeShared(frame []byte) error {
	s.endMember()
	s.held().Write(frame)
	return s.drainOver(sinkBufferSize)
}

func (s *httpSink) writeParts(frame parts) error {
	b := s.held()
	b.Write(frame.head)
	b.Write(frame.object)
	b.Write(frame.tail)
	return s.drainOver(sinkBufferSize)
}

func (s *httpSink) held() *bytes.Buffer {
	if s.buffer == nil {
		s.buffer = pooled.buffers.Get().(*bytes.Buffer)
	}
	return s.buffer
}

// drainOver sends what is held if it is more than size.
func (s *httpSink) drainOver(size int) error {
	if s.buffer == nil || s.buffer.Len() <= size {
		return nil
	}
	_, err := s.w.Write(s.buffer.Bytes())
	s.buffer.Reset()
	if err != nil {
		return sinkError{err}
	}
	return nil
}

func (s *httpSink) flush() error {
	s.endMember()
	err := s.drainOver(0)
	s.close()
	if err == nil {
		if flushErr := s.control.Flush(); flushErr != nil {
			err = sinkError{flushErr}
		}
	}
	return err
}

// endMember ends the gzip member that is being written, so that shared ones can
// follow and the client can read all of it.
func (s *httpSink) endMember() {
	if s.compressor == nil {
		return
	}
	// Flushed before it is closed: Go's reader holds back what stands in the
	// last block of a member until the next one comes.
	_ = s.compressor.Flush() // writes to memory
	_ = s.compressor.Close()
	s.compressor.Reset(nil)
	pooled.compressors.Put(s.compressor)
	s.compressor = nil
}

// close gives the buffer back.
func (s *httpSink) close() {
	s.endMember()
	if s.buffer != nil {
		pooled.giveBack(s.buffer)
		s.buffer = nil
	}
}

// gzipMember compresses a frame such that it can stand between others.
func gzipMember(frame []byte) ([]byte, error) {
	b := pooled.buffers.Get().(*bytes.Buffer)
	defer pooled.giveBack(b)
	w := pooled.compressors.Get().(*gzip.Writer)
	defer pooled.compressors.Put(w)
	w.Reset(b)
	if _, err := w.Write(frame); err != nil {
		return nil, err
	}
	err := errors.Join(w.Flush(), w.Close()) // as in endMember
	w.Reset(nil)
	return bytes.Clone(b.Bytes()), err
}

// A webSocketSink sends each frame as a message.
type webSocketSink struct {
	connection *websocket.Conn
	text       bool
	header     int // bytes of a frame that messages don't need
}

func (s *webSocketSink) write(frame []byte) error {
	frame = frame[s.header:]
	var message any = frame
	if s.text {
		message = string(frame)
	}
	if err := websocket.Message.Send(s.connection, message); err != nil {
		return sinkError{err}
	}
	return nil
}

func (s *webSocketSink) writeShared(frame []byte) error { return s.write(frame) }
func (s *webSocketSink) writeParts(frame parts) error {
	return s.write(slices.Concat(frame.head, frame.object, frame.tail))
}

func (s *webSocketSink) flush() error { return nil }

// overWebSocket serves the watch over a WebSocket.
func (s *watching) overWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, serve func(context.Context) error) {
	w.Header().Set("Content-Type", s.events.format.StreamMediaType())
	websocket.Handler(func(connection *websocket.Conn) {
		defer connection.Close()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer cancel()
			wsstream.IgnoreReceives(connection, 0) // until either side closes
		}()
		s.sink = &webSocketSink{connection, s.events.format.Accepted.EncodesAsText, s.events.frameHeader()}
		s.run(ctx, serve)
	}).ServeHTTP(w, r)
}
