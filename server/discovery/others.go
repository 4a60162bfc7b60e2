package discovery

import (
	"cmp"
	"slices"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints"

	"github.com/howdah/howdah/server/resource"
)

// Others are the group versions that other API servers serve behind this one.
type Others interface {
	// Change counts the changes of Versions.
	Change() uint64
	Versions() []Other
}

// An Other is one of their group versions.
type Other struct {
	schema.GroupVersion
	Priority  resource.Priority
	Resources []metav1.APIResource // as their server said last
	Available bool                 // it says so now
}

// aggregate is the version in discovery of all groups at once.
func (o *Other) aggregate() apidiscoveryv2.APIVersionDiscovery {
	made := apidiscoveryv2.APIVersionDiscovery{Version: o.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(o.Resources)
	if err == nil {
		made.Resources = resources
	}
	if err != nil || !o.Available {
		made.Freshness = apidiscoveryv2.DiscoveryFreshnessStale
	}
	return made
}

// nobody is when there are no other servers.
type nobody struct{}

func (nobody) Change() uint64    { return 0 }
func (nobody) Versions() []Other { return nil }

// A group is the table's, and what others serve of it.
type group struct {
	name     string
	priority int32
	versions []groupVersion // the preferred one first
}

type groupVersion struct {
	resource.Version
	other *Other // nil: it is the table's
}

// groups are the table's and the others', in the order of discovery. What others
// serve of the same group version comes first, as the router has it.
func (h *Handler) groups() []group {
	var groups []group
	others := h.others.Versions()
	for _, g := range h.table.Groups() {
		made := group{name: g.Name, priority: g.Priority}
		for _, v := range g.Versions {
			if !slices.ContainsFunc(others, func(o Other) bool { return o.GroupVersion == v.GroupVersion }) {
				made.versions = append(made.versions, groupVersion{Version: v})
			}
		}
		groups = append(groups, made)
	}
	if len(others) == 0 {
		return groups
	}
	for _, o := range others {
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == o.Group })
		if i < 0 {
			i, groups = len(groups), append(groups, group{name: o.Group})
		}
		g := &groups[i]
		g.priority = max(g.priority, o.Priority.Group)
		g.versions = append(g.versions, groupVersion{
			Version: resource.Version{GroupVersion: o.GroupVersion, Priority: o.Priority.Version}, other: &o,
		})
		slices.SortStableFunc(g.versions, func(a, b groupVersion) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), version.CompareKubeAwareVersionStrings(b.Version.Version, a.Version.Version))
		})
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.name, b.name))
	})
	return groups
}
