package storage

import (
	"sort"

	"github.com/tidwall/btree"
	"k8s.io/apimachinery/pkg/labels"
)

// A tree is the content of one collection: objects in key order, and for each
// label pair and indexed field value the keys that have it. A copy costs
// nothing; what is changed after it is copied then.
type tree struct {
	fields  []string // indexed
	objects *btree.Map[string, *Object]
	index   *btree.Map[string, posting]
	// owner marks the key sets that no copy of this tree shares.
	owner *byte
	// unindexed counts objects that the index knows nothing of; while there
	// are any it is not used.
	unindexed int
	bytes     int64 // of memory
	values    int64 // bytes of the values
}

// A posting is the keys that have one label pair or field value. Most label
// pairs of a cluster are on one object only, so a single key needs no set.
type posting struct {
	only string
	many *keySet
}

type keySet struct {
	owner *byte
	keys  *btree.Set[string]
}

func newTree(fields []string) *tree {
	return &tree{
		fields:  fields,
		objects: btree.NewMap[string, *Object](0),
		index:   btree.NewMap[string, posting](0),
		owner:   new(byte),
	}
}

// copy returns a tree that stays as it is while t changes. The caller has
// exclusive access to t.
func (t *tree) copy() *tree {
	c := *t
	c.objects, c.index, c.owner = t.objects.Copy(), t.index.Copy(), new(byte)
	t.owner = new(byte)
	return &c
}

func (t *tree) get(key string) *Object {
	o, _ := t.objects.Get(key)
	return o
}

func (t *tree) put(o *Object) {
	previous, _ := t.objects.Set(o.Key, o)
	t.account(previous, o)
}

// load is put of an object with a new key, greater than all others.
func (t *tree) load(o *Object) {
	if previous, replaced := t.objects.Load(o.Key, o); replaced {
		t.account(previous, o)
		return
	}
	t.account(nil, o)
}

func (t *tree) remove(key string) {
	if previous, ok := t.objects.Delete(key); ok {
		t.account(previous, nil)
	}
}

// account brings the index and the sums from the previous to the next version.
func (t *tree) account(previous, next *Object) {
	t.bytes += next.size() - previous.size()
	t.values += next.length() - previous.length()
	if previous != nil && !indexable(previous) {
		t.unindexed--
		previous = nil
	}
	if next != nil && !indexable(next) {
		t.unindexed++
		next = nil
	}
	if previous != nil {
		eachLabel(previous.Labels, func(name, value string) {
			if next == nil || !hasLabel(next, name, value) {
				t.unlist(labelTerm(name, value), previous.Key)
			}
		})
	}
	if next != nil {
		eachLabel(next.Labels, func(name, value string) {
			if previous == nil || !hasLabel(previous, name, value) {
				t.list(labelTerm(name, value), next.Key)
			}
		})
	}
	for _, field := range t.fields {
		switch {
		case previous != nil && next != nil:
			was, is := previous.fields().Get(field), next.fields().Get(field)
			if was != is {
				t.unlist(fieldTerm(field, was), previous.Key)
				t.list(fieldTerm(field, is), next.Key)
			}
		case previous != nil:
			t.unlist(fieldTerm(field, previous.fields().Get(field)), previous.Key)
		case next != nil:
			t.list(fieldTerm(field, next.fields().Get(field)), next.Key)
		}
	}
}

// The terms of the index are strings of their own: they must not keep the
// bytes of the object alive that they were first seen in.
func labelTerm(name, value string) string { return "l" + name + "\x00" + value }
func fieldTerm(name, value string) string { return "f" + name + "\x00" + value }

func (t *tree) list(term, key string) {
	p, ok := t.index.Get(term)
	switch {
	case !ok:
		t.index.Set(term, posting{only: key})
	case p.many == nil:
		set := &keySet{owner: t.owner, keys: &btree.Set[string]{}}
		set.keys.Insert(p.only)
		set.keys.Insert(key)
		t.index.Set(term, posting{many: set})
	default:
		t.owned(term, p).Insert(key)
	}
}

func (t *tree) unlist(term, key string) {
	p, ok := t.index.Get(term)
	switch {
	case !ok:
	case p.many == nil:
		if p.only == key {
			t.index.Delete(term)
		}
	default:
		set := t.owned(term, p)
		set.Delete(key)
		if set.Len() == 1 {
			only, _ := set.Min()
			t.index.Set(term, posting{only: only})
		}
	}
}

// owned returns the posting's set for changing it.
func (t *tree) owned(term string, p posting) *btree.Set[string] {
	if p.many.owner != t.owner {
		p.many = &keySet{owner: t.owner, keys: p.many.keys.Copy()}
		t.index.Set(term, p)
	}
	return p.many.keys
}

func (p posting) len() int {
	switch {
	case p.many != nil:
		return p.many.keys.Len()
	case p.only != "":
		return 1
	}
	return 0
}

// ascend yields the keys from start on, in order.
func (p posting) ascend(start string, yield func(key string) bool) {
	switch {
	case p.many != nil:
		p.many.keys.Ascend(start, yield)
	case p.only >= start:
		yield(p.only)
	}
}

// count returns how many keys have the prefix.
func (t *tree) count(prefix string) int {
	return t.rank(prefixEnd(prefix)) - t.rank(prefix)
}

// rank returns how many keys are less than key; all of them for "".
func (t *tree) rank(key string) int {
	n := t.objects.Len()
	if key == "" {
		return n
	}
	return sort.Search(n, func(i int) bool {
		k, _, _ := t.objects.GetAt(i)
		return k >= key
	})
}

// prefixEnd is the least key greater than all keys with the prefix; "" when
// there is none.
func prefixEnd(prefix string) string {
	for last := len(prefix) - 1; last >= 0; last-- {
		if prefix[last] < 0xff {
			return prefix[:last] + string([]byte{prefix[last] + 1})
		}
	}
	return ""
}

func hasLabel(o *Object, name, value string) bool {
	v, ok := o.labels().Lookup(name)
	return ok && v == value
}

func indexable(o *Object) bool {
	if o.Err != nil {
		return false
	}
	switch o.Labels.(type) {
	case nil, labels.Set, LabelRange:
		return true
	}
	return false
}

func eachLabel(l labels.Labels, yield func(name, value string)) {
	switch l := l.(type) {
	case labels.Set:
		for name, value := range l {
			yield(name, value)
		}
	case LabelRange:
		for name, value := range l.All() {
			yield(name, value)
		}
	}
}
