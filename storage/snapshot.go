package storage

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/selection"
)

// A Snapshot is a collection at one revision. It does not change, costs nothing
// to take and may be kept for as long as it is read; what it keeps alive is the
// objects that were replaced since.
type Snapshot struct {
	Revision int64

	prefix string
	tree   *tree
}

// Get returns the object with the key; nil when there is none.
func (s *Snapshot) Get(key string) *Object { return s.tree.get(key) }

// Len counts the objects whose key has the prefix.
func (s *Snapshot) Len(prefix string) int {
	if strings.HasPrefix(s.prefix, prefix) {
		return s.tree.objects.Len()
	}
	return s.tree.count(prefix)
}

// Rest counts the objects whose key has the prefix and is greater than after.
func (s *Snapshot) Rest(prefix, after string) int {
	return max(0, s.tree.rank(prefixEnd(prefix))-s.tree.rank(max(prefix, after+"\x00")))
}

// Scan yields, in key order, the objects with the prefix and with a key greater
// than after that the selection matches, until yield returns false. Unreadable
// objects are always yielded.
func (s *Snapshot) Scan(prefix, after string, sel Selection, yield func(*Object) bool) {
	sel = sel.simplified()
	if strings.HasPrefix(s.prefix, prefix) {
		prefix = s.prefix
	}
	q := query{tree: s.tree, root: s.prefix, prefix: prefix, selection: sel}
	q.start = prefix
	if after >= prefix {
		q.start = after + "\x00"
	}
	q.run(func(o *Object) bool {
		if o.Err == nil && !sel.matches(o) {
			return true
		}
		return yield(o)
	})
}

// A query is one scan; it yields at least the objects that match.
type query struct {
	tree      *tree
	root      string // the collection's prefix
	prefix    string
	start     string // least key wanted
	selection Selection
}

func (q *query) run(yield func(*Object) bool) {
	if q.tree.unindexed == 0 {
		if q.runIndexed(yield) {
			return
		}
	}
	q.tree.objects.Ascend(q.start, func(key string, o *Object) bool {
		return strings.HasPrefix(key, q.prefix) && yield(o)
	})
}

// runIndexed reads only the keys that one requirement of the selection leaves,
// the one with the fewest; false when reading everything is no more work.
func (q *query) runIndexed(yield func(*Object) bool) bool {
	if name, ok := q.equals("metadata.name"); ok {
		q.runNamed(name, yield)
		return true
	}
	if namespace, ok := q.equals("metadata.namespace"); ok && namespace != "" && q.prefix == q.root {
		q.prefix = q.root + namespace + "/"
		q.start = max(q.start, q.prefix)
	}
	best, fewest := []posting(nil), -1
	offer := func(postings []posting) {
		n := 0
		for _, p := range postings {
			n += p.len()
		}
		if fewest < 0 || n < fewest {
			best, fewest = postings, n
		}
	}
	if q.selection.Labels != nil {
		requirements, selectable := q.selection.Labels.Requirements()
		if !selectable {
			return true
		}
		for i := range requirements {
			switch requirements[i].Operator() {
			case selection.Equals, selection.DoubleEquals, selection.In:
				var postings []posting
				for _, value := range requirements[i].ValuesUnsorted() {
					if p, ok := q.tree.index.Get(labelTerm(requirements[i].Key(), value)); ok {
						postings = append(postings, p)
					}
				}
				offer(postings)
			}
		}
	}
	for _, field := range q.tree.fields {
		if value, ok := q.equals(field); ok {
			if p, ok := q.tree.index.Get(fieldTerm(field, value)); ok {
				offer([]posting{p})
			} else {
				offer(nil)
			}
		}
	}
	// A key of the index costs a search of the tree, several times what the
	// next object of a plain scan does.
	const searchCost = 4
	switch {
	case fewest < 0:
		return false
	case fewest*searchCost > q.tree.objects.Len():
		return false
	case fewest > 64 && q.prefix != q.root && fewest*searchCost > q.tree.count(q.prefix):
		return false
	}
	q.runPostings(best, yield)
	return true
}

// equals says whether the selection demands one value of the field.
func (q *query) equals(field string) (string, bool) {
	if q.selection.Fields == nil {
		return "", false
	}
	return q.selection.Fields.RequiresExactMatch(field)
}

func (q *query) runPostings(postings []posting, yield func(*Object) bool) {
	visit := func(key string) bool {
		if !strings.HasPrefix(key, q.prefix) {
			return false
		}
		o := q.tree.get(key)
		return o == nil || yield(o)
	}
	if len(postings) == 1 {
		postings[0].ascend(q.start, visit)
		return
	}
	var keys []string
	for _, p := range postings {
		p.ascend(q.start, func(key string) bool {
			if !strings.HasPrefix(key, q.prefix) {
				return false
			}
			keys = append(keys, key)
			return true
		})
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if !visit(key) {
			return
		}
	}
}

// runNamed visits the keys whose last element is name, one in each namespace,
// by skipping from namespace to namespace.
func (q *query) runNamed(name string, yield func(*Object) bool) {
	if name == "" || strings.Contains(name, "/") {
		return
	}
	visit := func(key string) bool {
		if key < q.start || !strings.HasPrefix(key, q.prefix) {
			return true
		}
		o := q.tree.get(key)
		return o == nil || yield(o)
	}
	iter := q.tree.objects.Iter()
	cursor := q.prefix
	for iter.Seek(cursor) && strings.HasPrefix(iter.Key(), q.prefix) {
		key := iter.Key()
		parent := key[:strings.LastIndexByte(key, '/')+1]
		if parent == q.root { // not namespaced: there is one candidate
			visit(q.root + name)
			return
		}
		if !visit(parent + name) {
			return
		}
		cursor = prefixEnd(parent)
	}
}
