package read

import (
	"context"
	"runtime"
	"sync"
)

// inOrder makes n pieces, on as many processors as are idle, and writes them in
// order. produce appends the i-th piece to dst; it is called from several
// goroutines. write gets many pieces at once, in memory that is used again.
func inOrder(ctx context.Context, n int, produce func(dst []byte, i int) ([]byte, error), write func(pieces []byte) error) error {
	const atOnce = 32
	workers := min(runtime.GOMAXPROCS(0), (n+atOnce-1)/atOnce)
	if workers <= 1 {
		buffer := pieceBuffers.Get().(*[]byte)
		defer pieceBuffers.Put(buffer)
		for from := 0; from < n; from += atOnce {
			err := produceAll(buffer, from, min(from+atOnce, n), produce)
			if err == nil {
				err = write(*buffer)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}

	type batch struct {
		from   int
		pieces *[]byte
		err    error
		done   chan struct{}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	ahead := 2 * workers // batches that are made or wait to be written
	jobs, order := make(chan *batch), make(chan *batch, ahead)
	running.Go(func() {
		defer close(order)
		defer close(jobs)
		for from := 0; from < n; from += atOnce {
			b := &batch{from: from, done: make(chan struct{})}
			select {
			case order <- b:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- b:
			case <-ctx.Done():
				b.err = ctx.Err()
				close(b.done)
				return
			}
		}
	})
	for range workers {
		running.Go(func() {
			for b := range jobs {
				b.pieces = pieceBuffers.Get().(*[]byte)
				b.err = produceAll(b.pieces, b.from, min(b.from+atOnce, n), produce)
				close(b.done)
			}
		})
	}
	for b := range order {
		<-b.done
		err := b.err
		if err == nil {
			err = write(*b.pieces)
		}
		if err != nil {
			return err
		}
		pieceBuffers.Put(b.pieces)
	}
	return ctx.Err()
}

// pieceBuffers have the size that they grew to.
var pieceBuffers = sync.Pool{New: func() any { return new([]byte) }}

// produceAll makes pieces in a buffer, in the place of what it has.
func produceAll(buffer *[]byte, from, to int, produce func(dst []byte, i int) ([]byte, error)) error {
	dst := (*buffer)[:0]
	for i := from; i < to; i++ {
		var err error
		if dst, err = produce(dst, i); err != nil {
			return err
		}
	}
	*buffer = dst
	return nil
}
