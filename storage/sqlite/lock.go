package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile keeps other processes, and other drivers of this one, from the file
// until the lock is closed. The kernel drops it when the process dies.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("SQLite lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another server uses the SQLite file (it holds %s): stop it, choose another --data-dir, or use PostgreSQL, which many servers can share", path)
		}
		return nil, fmt.Errorf("SQLite lock %s: %w", path, err)
	}
	return file, nil
}
