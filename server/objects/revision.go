package objects

import "github.com/howdah/howdah/storage"

// AtRevision returns the object with another revision in its value, as a DELETED
// event shows it: the last version of the object with the revision of the delete.
func (s *Store) AtRevision(o *storage.Object, revision int64) (*storage.Object, error) {
	moved, err := s.describe(o.Key, o.Value(), revision)
	if err != nil {
		return nil, err
	}
	moved.Key, moved.Revision, moved.Created, moved.Expires = o.Key, revision, o.Created, o.Expires
	return moved, nil
}
