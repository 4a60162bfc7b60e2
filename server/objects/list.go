package objects

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

func (s *Store) GetList(ctx context.Context, key string, opts apistorage.ListOptions, list runtime.Object) error {
	prefix, err := s.key(key, opts.Recursive)
	if err != nil {
		return err
	}
	items, err := itemsOf(list)
	if err != nil {
		return err
	}
	revision, continueKey, err := apistorage.ValidateListOptions(prefix, s.Versioner(), opts)
	if err != nil {
		return err
	}
	snapshot, err := s.snapshot(ctx, revision, opts)
	if err != nil {
		return ListError(err, s.resource, continueKey, prefix)
	}
	p := page{
		ctx: ctx, store: s, snapshot: snapshot, prefix: prefix,
		predicate: opts.Predicate, newItem: newItem(list, items), items: items,
	}
	switch {
	case !opts.Recursive:
		p.one()
	default:
		p.read(continueKey)
	}
	if p.err != nil {
		return p.err
	}
	if items.IsNil() {
		items.Set(reflect.MakeSlice(items.Type(), 0, 0))
	}
	token, remaining, err := apistorage.PrepareContinueToken(p.last, prefix, snapshot.Revision, p.count(continueKey), p.more, opts)
	if err != nil {
		return err
	}
	if err := s.Versioner().UpdateList(list, uint64(snapshot.Revision), token, remaining); err != nil {
		return err
	}
	opts.Predicate.SetShardInfoOnList(list)
	return nil
}

// snapshot is the collection at a revision, or, when that is 0, as new as the
// options ask for.
func (s *Store) snapshot(ctx context.Context, revision int64, opts apistorage.ListOptions) (*storage.Snapshot, error) {
	if revision == 0 {
		version := opts.ResourceVersion
		if opts.Recursive && opts.Predicate.Continue != "" {
			version = "" // go on at the present
		}
		if err := s.reach(ctx, version); err != nil {
			return nil, err
		}
		return s.collection.Snapshot(), nil
	}
	if now := s.store.Revision(); revision > now {
		now, err := s.store.Sync(ctx)
		if err != nil {
			return nil, err
		}
		if revision > now {
			return nil, apistorage.NewTooLargeResourceVersionError(uint64(revision), uint64(now), 0)
		}
	}
	return s.collection.At(ctx, revision)
}

func itemsOf(list runtime.Object) (reflect.Value, error) {
	pointer, err := meta.GetItemsPtr(list)
	if err != nil {
		return reflect.Value{}, err
	}
	items, err := conversion.EnforcePtr(pointer)
	if err != nil || items.Kind() != reflect.Slice {
		return reflect.Value{}, fmt.Errorf("need ptr to slice: %v", err)
	}
	return items, nil
}

// newItem makes empty items; those of an unstructured list have its version, so
// that they are converted to it.
func newItem(list runtime.Object, items reflect.Value) func() runtime.Object {
	if u, ok := list.(*unstructured.UnstructuredList); ok && u.GetAPIVersion() != "" {
		version := u.GetAPIVersion()
		return func() runtime.Object {
			return &unstructured.Unstructured{Object: map[string]any{"apiVersion": version}}
		}
	}
	element := items.Type().Elem()
	return func() runtime.Object { return reflect.New(element).Interface().(runtime.Object) }
}

// A page is a list while it is read.
type page struct {
	ctx       context.Context
	store     *Store
	snapshot  *storage.Snapshot
	prefix    string
	predicate apistorage.SelectionPredicate
	newItem   func() runtime.Object

	items reflect.Value
	last  string // the last key that was looked at
	more  bool   // there are keys after it
	err   error
}

func (p *page) one() {
	if o := p.snapshot.Get(p.prefix); o != nil {
		p.add(o)
	}
}

// read adds what matches, from a key on. The page ends at its limit; whether
// there is more does not depend on whether more would match.
func (p *page) read(from string) {
	selection := p.store.selection(p.predicate)
	visit := func(o *storage.Object) bool {
		p.last = o.Key
		return p.add(o) && !p.full()
	}
	if first := p.at(from); first == nil || visit(first) {
		p.snapshot.Scan(p.prefix, after(from), selection, visit)
	}
	if p.err == nil && p.full() {
		p.snapshot.Scan(p.prefix, p.last, storage.Selection{}, func(*storage.Object) bool {
			p.more = true
			return false
		})
	}
}

// at is the object with exactly the key that a list continues from: tokens that
// we give out name the place after a key, but others are allowed.
func (p *page) at(from string) *storage.Object {
	if from == "" || strings.HasSuffix(from, "\x00") {
		return nil
	}
	return p.snapshot.Get(from)
}

// after is the key after which a scan starts that continues from the given one.
func after(from string) string { return strings.TrimSuffix(from, "\x00") }

func (p *page) full() bool {
	return p.predicate.Limit > 0 && int64(p.items.Len()) >= p.predicate.Limit
}

func (p *page) add(o *storage.Object) bool {
	if p.ctx.Err() != nil {
		p.err = apistorage.NewTimeoutError(o.Key, "request did not complete within requested timeout")
		return false
	}
	item := p.newItem()
	if p.err = p.store.form.decode(o, item); p.err != nil {
		return false
	}
	if matches, err := p.predicate.Matches(item); err == nil && matches {
		p.items.Set(reflect.Append(p.items, reflect.ValueOf(item).Elem()))
	}
	return true
}

// count is how many keys there are from the page's first on.
func (p *page) count(from string) int64 {
	if !p.more || !p.predicate.Empty() {
		return 0 // nobody asks
	}
	if from == "" {
		return int64(p.snapshot.Len(p.prefix))
	}
	var n int64
	if p.at(from) != nil {
		n++
	}
	p.snapshot.Scan(p.prefix, after(from), storage.Selection{}, func(*storage.Object) bool {
		n++
		return true
	})
	return n
}

// selection is the part of a predicate that the cache can decide; the rest is
// decided on the decoded object.
func (s *Store) selection(predicate apistorage.SelectionPredicate) storage.Selection {
	selection := storage.Selection{Labels: predicate.Label}
	if predicate.Field == nil {
		return selection
	}
	var names []string
	for _, r := range predicate.Field.Requirements() {
		names = append(names, r.Field)
	}
	if s.plan == nil || s.plan.knows(names) {
		selection.Fields = predicate.Field
	}
	return selection
}
