package aggregation

import (
	"github.com/howdah/howdah/server/discovery"
	"github.com/howdah/howdah/server/resource"
)

var _ discovery.Others = (*Services)(nil)

// Change implements [discovery.Others], as does the following.
func (s *Services) Change() uint64 { return s.changes.Load() }

func (s *Services) Versions() []discovery.Other {
	var versions []discovery.Other
	for gv, one := range s.shown() {
		v := discovery.Other{
			GroupVersion: gv,
			Priority:     resource.Priority{Group: one.spec.GroupPriorityMinimum, Version: one.spec.VersionPriority},
			Available:    one.available.Load(),
		}
		if found := one.found.Load(); found != nil {
			v.Resources = found.resources
		}
		versions = append(versions, v)
	}
	return versions
}
