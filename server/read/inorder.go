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
		var buffer []byte
		for from := 0; from < n; from += atOnce {
			pieces, err := produceAll(buffer, from, min(from+atOnce, n), produce)
			if err == nil {
				err = write(pieces)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			buffer = pieces[:0]
		}
		return nil
	}

	type batch struct {
		from   int
		pieces []byte
		err    error
		done   chan struct{}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	ahead := 2 * workers // batches that are made or wait to be written
	jobs, order, free := make(chan *batch), make(chan *batch, ahead), make(chan []byte, ahead+1)
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
				var buffer []byte
				select {
				case buffer = <-free:
				default:
				}
				b.pieces, b.err = produceAll(buffer, b.from, min(b.from+atOnce, n), produce)
				close(b.done)
			}
		})
	}
	for b := range order {
		<-b.done
		err := b.err
		if err == nil {
			err = write(b.pieces)
		}
		if err != nil {
			return err
		}
		select {
		case free <- b.pieces[:0]:
		default:
		}
	}
	return ctx.Err()
}

func produceAll(dst []byte, from, to int, produce func(dst []byte, i int) ([]byte, error)) ([]byte, error) {
	var err error
	for i := from; i < to; i++ {
		if dst, err = produce(dst, i); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
