package sqlite

import "github.com/howdah/howdah/storage"

var _ storage.Exclusive = (*Driver)(nil)

// Exclusive says that nobody else writes to the file: the lock sees to that.
func (d *Driver) Exclusive() bool { return true }
