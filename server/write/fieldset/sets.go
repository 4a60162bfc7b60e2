package fieldset

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// keptSets bounds how many decoded sets a tracker keeps. Objects of one origin
// share theirs, so that few are needed.
const keptSets = 64

// sets decodes FieldsV1, and remembers the last ones.
type sets struct {
	typed *typed.TypedValue // of the tracker's kind

	mu    sync.Mutex
	known map[string]*ownedSet
}

// An ownedSet is what one entry owns; nobody changes it.
type ownedSet struct {
	set *fieldpath.Set
	// current: the set fits today's schema as it is.
	current bool
}

// of returns what the entry owns. It refuses entries of other versions and
// those that upstream would repair or drop.
func (s *sets) of(entry metav1.ManagedFieldsEntry, version fieldpath.APIVersion) (*ownedSet, bool) {
	switch entry.Operation {
	case metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate:
	default:
		return nil, false
	}
	if entry.APIVersion != string(version) || entry.FieldsType != "FieldsV1" || entry.FieldsV1 == nil {
		return nil, false
	}
	raw := entry.FieldsV1.GetRawBytes()
	s.mu.Lock()
	owned := s.known[string(raw)]
	s.mu.Unlock()
	if owned == nil {
		owned = s.decode(entry.FieldsV1)
		s.mu.Lock()
		if len(s.known) >= keptSets {
			clear(s.known)
		}
		s.known[string(raw)] = owned
		s.mu.Unlock()
	}
	return owned, owned.current
}

func (s *sets) decode(fields *metav1.FieldsV1) *ownedSet {
	set := &fieldpath.Set{}
	if err := set.FromJSON(fields.GetRawReader()); err != nil || set.Empty() {
		return &ownedSet{}
	}
	reconciled, err := typed.ReconcileFieldSetWithSchema(set, s.typed)
	return &ownedSet{set: set, current: err == nil && reconciled == nil}
}
