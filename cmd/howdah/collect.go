package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// collectSeldom lets a small heap that is much allocated on grow by more than its
// own size before garbage is collected. A collection costs what is live, however
// little was allocated since the last one; with 60 MB live and 300 MB allocated a
// second, Go's default of 100 % means five a second. When the burst is over the
// default is back, and [giveBackMemory] does the rest. Who sets GOGC has decided
// already.
func collectSeldom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	const every = 500 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	percent, before := usualPercent, readHeap()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := readHeap()
		if next := growth(now.live, (now.allocated-before.allocated)*uint64(time.Second/every)); next != percent {
			percent = next
			debug.SetGCPercent(percent)
		}
		before = now
	}
}

const usualPercent = 100

// growth is by how many percent of what is live a heap may grow: by what is
// allocated in a second, within bounds.
func growth(live, allocatedPerSecond uint64) int {
	const (
		room = 256 << 20
		most = 400
		step = 50 // changing it stops the world for a moment
	)
	if live == 0 { // nothing was collected yet
		return usualPercent
	}
	percent := 100 * min(allocatedPerSecond, room) / live
	return int(min(max(percent/step*step, usualPercent), most))
}
