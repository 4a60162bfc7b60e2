package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

func (s *Store) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if version, err := s.Versioner().ObjectResourceVersion(obj); err == nil && version != 0 {
		return apistorage.ErrResourceVersionSetOnCreate
	}
	if err := s.Versioner().PrepareObjectForStorage(obj); err != nil {
		return fmt.Errorf("prepare %s for storage: %w", key, err)
	}
	data, versioned, err := s.form.encode(obj)
	if err != nil {
		return err
	}
	revision, err := s.store.Write(ctx, storage.Write{Key: key, Value: data, Expires: expiry(ttl)})
	var conflict *storage.ConflictError
	if errors.As(err, &conflict) {
		return apistorage.NewKeyExistsError(key, 0)
	}
	if err != nil {
		return s.failure(err)
	}
	s.remember(ctx, key, revision)
	if out == nil {
		return nil
	}
	return s.form.restore(data, versioned, revision, out)
}

// expiry is when something with this time to live, in seconds, ends; 0 is never.
func expiry(ttl uint64) time.Time {
	const longest = 100 * 365 * 24 * time.Hour
	switch {
	case ttl == 0:
		return time.Time{}
	case ttl > uint64(longest/time.Second):
		return time.Now().Add(longest)
	}
	return time.Now().Add(time.Duration(ttl) * time.Second)
}
