package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/howdah/howdah/storage"
)

// sharedPrefix holds what all servers of a database need but no API shows.
const sharedPrefix = "/howdah/"

// sharedFiles keeps small files for all servers of one database.
type sharedFiles struct{ store *storage.Store }

// refresh writes a file again whose encryption key was replaced.
func (f *sharedFiles) refresh(ctx context.Context, file *storage.Object) error {
	stale, err := f.store.Stale(ctx, file.Key)
	if err != nil || !stale {
		return err
	}
	_, err = f.store.Write(ctx, storage.Write{Key: file.Key, Value: file.Value(), Expect: file.Revision})
	var conflict *storage.ConflictError
	if errors.As(err, &conflict) { // another server did it
		return nil
	}
	return err
}

// LoadOrStore implements pki.Shared.
func (f *sharedFiles) LoadOrStore(ctx context.Context, name string, value func() ([]byte, error)) ([]byte, error) {
	files := f.store.Register(sharedPrefix, func(_ string, stored []byte, _ int64) (*storage.Object, error) {
		return storage.Plain(stored), nil
	})
	key := sharedPrefix + name
	for {
		if _, err := f.store.Sync(ctx); err != nil {
			return nil, fmt.Errorf("read %s from the database: %w", name, err)
		}
		if file, _ := files.Get(key); file != nil {
			if file.Err != nil {
				return nil, fmt.Errorf("read %s from the database, where it is kept like a Secret (see --encryption-provider-config): %w", name, file.Err)
			}
			return file.Value(), f.refresh(ctx, file)
		}
		made, err := value()
		if err != nil {
			return nil, err
		}
		_, err = f.store.Write(ctx, storage.Write{Key: key, Value: made})
		if err == nil {
			return made, nil
		}
		var conflict *storage.ConflictError
		if !errors.As(err, &conflict) { // on a conflict another server was first
			return nil, fmt.Errorf("keep %s in the database: %w", name, err)
		}
	}
}
