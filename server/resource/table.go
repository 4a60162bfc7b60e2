package resource

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// A Table is the set of served rows. Readers see one consistent version of it
// and never wait; rows are not changed once they are in a table.
type Table struct {
	changing sync.Mutex
	current  atomic.Pointer[contents]
}

// Priority orders groups, and versions within a group: higher comes first, as
// in an APIService's groupPriorityMinimum and versionPriority.
type Priority struct {
	Group, Version int32
}

// A Group is what the table holds of one API group.
type Group struct {
	Name     string
	Priority int32
	Versions []Version // the preferred one first
}

// A Version is what the table holds of one group version.
type Version struct {
	schema.GroupVersion
	Priority  int32
	Resources []*Resource // sorted by name, subresources after their resource
}

// contents is one immutable version of a table.
type contents struct {
	change uint64
	next   chan struct{} // closed with the next change
	rows   map[key]*Resource
	groups []Group
	all    []*Resource

	equivalents map[key][]schema.GroupVersionResource // with the identity of a resource in its place
}

type key struct {
	schema.GroupVersionResource
	subresource string
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{}
	t.current.Store(newContents(0, map[key]*Resource{}))
	return t
}

// Lookup returns the row of a resource (subresource ""), or of its
// subresource, or nil.
func (t *Table) Lookup(gvr schema.GroupVersionResource, subresource string) *Resource {
	return t.current.Load().rows[key{gvr, subresource}]
}

// Serves says whether the group version has any row.
func (t *Table) Serves(gv schema.GroupVersion) bool {
	for _, group := range t.current.Load().groups {
		if group.Name != gv.Group {
			continue
		}
		return slices.ContainsFunc(group.Versions, func(v Version) bool { return v.GroupVersion == gv })
	}
	return false
}

// Groups returns the groups in the order of discovery. The core group ("") is
// among them. Callers must not change the slices.
func (t *Table) Groups() []Group { return t.current.Load().groups }

// All returns all rows in the order of Groups. Callers must not change the slice.
func (t *Table) All() []*Resource { return t.current.Load().all }

// Change counts the changes of the table, so that what is made from the table
// can be kept until the next one.
func (t *Table) Change() uint64 { return t.current.Load().change }

// Changed returns a channel that is closed with the next change.
func (t *Table) Changed() <-chan struct{} { return t.current.Load().next }

// Add puts rows into the table, all or none; it is an error when the table has
// one of them.
func (t *Table) Add(rows ...*Resource) error {
	return t.Replace(nil, rows)
}

// Remove takes rows out of the table; those that it does not hold are ignored.
func (t *Table) Remove(rows ...*Resource) {
	_ = t.Replace(rows, nil) // only adding can fail
}

// Replace removes and adds rows in one step, so that no reader misses a row
// that is both.
func (t *Table) Replace(remove, add []*Resource) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	old := t.current.Load()
	rows := make(map[key]*Resource, len(old.rows)+len(add))
	for k, row := range old.rows {
		rows[k] = row
	}
	for _, row := range remove {
		if k := row.key(); rows[k] == row {
			delete(rows, k)
		}
	}
	for _, row := range add {
		k := row.key()
		if rows[k] != nil {
			return fmt.Errorf("%s is served already: remove the other definition of it first", row)
		}
		rows[k] = row
	}
	t.current.Store(newContents(old.change+1, rows))
	close(old.next)
	return nil
}

func (r *Resource) key() key { return key{r.GroupVersionResource, r.Subresource} }

// Path is the resource's name in discovery: "pods" or "pods/status".
func (r *Resource) Path() string {
	if r.Subresource == "" {
		return r.Resource
	}
	return r.Resource + "/" + r.Subresource
}

func (r *Resource) String() string {
	return r.GroupVersion().String() + " " + r.Path()
}

func newContents(change uint64, rows map[key]*Resource) *contents {
	byVersion := map[schema.GroupVersion][]*Resource{}
	priorities := map[schema.GroupVersion]Priority{}
	for _, row := range rows {
		gv := row.GroupVersion()
		byVersion[gv] = append(byVersion[gv], row)
		known := priorities[gv]
		priorities[gv] = Priority{
			Group:   max(known.Group, row.Priority.Group),
			Version: max(known.Version, row.Priority.Version),
		}
	}

	byGroup := map[string][]Version{}
	groupPriority := map[string]int32{}
	for gv, resources := range byVersion {
		slices.SortFunc(resources, func(a, b *Resource) int { return cmp.Compare(a.Path(), b.Path()) })
		byGroup[gv.Group] = append(byGroup[gv.Group], Version{gv, priorities[gv].Version, resources})
		groupPriority[gv.Group] = max(groupPriority[gv.Group], priorities[gv].Group)
	}

	c := &contents{change: change, next: make(chan struct{}), rows: rows}
	for name, versions := range byGroup {
		slices.SortFunc(versions, func(a, b Version) int {
			return cmp.Or(
				cmp.Compare(priorities[b.GroupVersion].Version, priorities[a.GroupVersion].Version),
				version.CompareKubeAwareVersionStrings(b.Version, a.Version))
		})
		c.groups = append(c.groups, Group{name, groupPriority[name], versions})
	}
	slices.SortFunc(c.groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(groupPriority[b.Name], groupPriority[a.Name]), cmp.Compare(a.Name, b.Name))
	})
	for _, group := range c.groups {
		for _, v := range group.Versions {
			c.all = append(c.all, v.Resources...)
		}
	}
	c.findEquivalents()
	return c
}
