package pki

import (
	"os"
	"slices"
	"time"
)

// recheck is how often files are looked at, so that a flood of connections is
// not one of system calls.
const recheck = 5 * time.Second

// changes notices that files were replaced. Looking when a connection comes
// needs no goroutine and no notification from the file system, which mounted
// secrets and network disks don't give reliably. The owner locks.
type changes struct {
	files  []string
	now    func() time.Time
	looked time.Time
	seen   []stamp
}

type stamp struct {
	modified time.Time
	size     int64
}

func newChanges(now func() time.Time, files ...string) *changes {
	c := &changes{files: files, now: now, looked: now()}
	c.seen = c.look()
	return c
}

// any says whether a file is not what it was when any last said true.
func (c *changes) any() bool {
	now := c.now()
	if now.Sub(c.looked) < recheck {
		return false
	}
	c.looked = now
	stamps := c.look()
	if slices.Equal(stamps, c.seen) {
		return false
	}
	c.seen = stamps
	return true
}

// again forgets what was seen: any says true next time it looks.
func (c *changes) again() { c.seen = nil }

func (c *changes) look() []stamp {
	stamps := make([]stamp, len(c.files))
	for i, file := range c.files {
		if info, err := os.Stat(file); err == nil {
			stamps[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return stamps
}
