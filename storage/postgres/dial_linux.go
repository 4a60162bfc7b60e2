package postgres

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// unacknowledgedMillis is how long sent bytes may stay unacknowledged.
const unacknowledgedMillis = 10_000

// limitUnacknowledged makes the kernel give up a connection whose peer doesn't
// acknowledge; keep-alives don't run while bytes are under way.
func limitUnacknowledged(_ context.Context, network, _ string, c syscall.RawConn) error {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil
	}
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, unacknowledgedMillis)
	})
	if err != nil {
		return err
	}
	return set
}
