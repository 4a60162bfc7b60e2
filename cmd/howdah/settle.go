package main

import (
	"log/slog"
	"time"
)

// settled is how long after the start pages of the program are dropped. By then
// the scheduler and the controllers have started, too.
const settled = 30 * time.Second

// settle drops, once, the pages of the program that were read: nearly half of them
// only for starting. It returns how to call that off.
func settle(log *slog.Logger) (stop func() bool) {
	return time.AfterFunc(settled, func() {
		if err := pageOut(); err != nil {
			log.Debug("pages of the program stay in memory", "err", err)
		}
	}).Stop
}
