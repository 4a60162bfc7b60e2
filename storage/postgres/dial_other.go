//go:build !linux

package postgres

import (
	"context"
	"syscall"
)

// limitUnacknowledged does nothing where the kernel has no such limit.
func limitUnacknowledged(context.Context, string, string, syscall.RawConn) error { return nil }
