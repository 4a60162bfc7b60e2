package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// giveBackMemory returns to the operating system what a burst of work needed,
// such as the installation of many CustomResourceDefinitions, once it is over. Go
// by itself collects garbage only when the heap has doubled, and keeps about that
// much. It is only done in quiet times: under load a collection more would cost
// what the memory is needed for again at once.
func giveBackMemory(ctx context.Context) {
	const every = 15 * time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before := readHeap()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := readHeap()
		const little = 16 << 20
		quiet := now.allocated-before.allocated < now.live/4+little
		if quiet && now.spare() > now.live/4+little {
			debug.FreeOSMemory()
		}
		before = now
	}
}

// A heap says how many bytes were ever allocated, how many the last collection
// found in use, and how many are taken from the operating system for them.
type heap struct{ allocated, live, taken uint64 }

func (h heap) spare() uint64 { return h.taken - min(h.live, h.taken) }

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	var h heap
	h.allocated, h.live = samples[0].Value.Uint64(), samples[1].Value.Uint64()
	for _, s := range samples[2:] {
		h.taken += s.Value.Uint64()
	}
	return h
}
