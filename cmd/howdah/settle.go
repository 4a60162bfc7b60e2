package main

import (
	"log/slog"
	"runtime/debug"
	"time"
)

// settled is how long after the start its memory is given back to the system. By
// then the scheduler and the controllers have started, too.
const settled = 30 * time.Second

// settle gives back, once, what only starting needed: memory that the runtime
// would else keep for long, and pages of the program that nobody may read again.
// It returns how to call that off.
func settle(log *slog.Logger) (stop func() bool) {
	return time.AfterFunc(settled, func() {
		debug.FreeOSMemory()
		if err := pageOut(); err != nil {
			log.Debug("pages of the program stay in memory", "err", err)
		}
	}).Stop
}
