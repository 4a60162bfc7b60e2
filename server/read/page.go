package read

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// A page is what one list request answers.
type page struct {
	objects []*storage.Object
	meta    metav1.ListMeta
}

// page selects the objects of a list, as new or as old as the options say.
func (e *endpoint) page(ctx context.Context, namespace string, options *metainternal.ListOptions) (*page, error) {
	s := e.scope(namespace, options)
	var unselectable error
	if e.Hooked && s.selection.FieldsOf != nil {
		s.selection.FieldsOf = e.fieldsWithin(ctx, &unselectable)
	}
	revision, continueKey, err := apistorage.ValidateListOptions(s.prefix, apistorage.APIObjectVersioner{}, apistorage.ListOptions{
		ResourceVersion:      options.ResourceVersion,
		ResourceVersionMatch: options.ResourceVersionMatch,
		Predicate:            apistorage.SelectionPredicate{Limit: options.Limit, Continue: options.Continue},
		Recursive:            s.key == "",
	})
	if err != nil {
		return nil, err
	}
	start := time.Time{}
	switch {
	case e.deps.ContinueLife < 0:
	case revision > 0 && options.Continue != "":
		start = began(options.Continue)
	default:
		start = time.Now()
	}
	snapshot, err := e.snapshot(ctx, revision, options)
	if !start.IsZero() && time.Since(start) > e.deps.ContinueLife {
		err = storage.ErrCompacted
	}
	if err != nil {
		return nil, objects.ListError(err, e.GroupResource(), continueKey, s.prefix)
	}
	p := &page{meta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(snapshot.Revision, 10)}}
	if s.key != "" {
		if o := snapshot.Get(s.key); o != nil && s.selection.Matches(o) {
			p.objects = append(p.objects, o)
		}
		return p, cmp.Or(unselectable, e.check(ctx, p))
	}
	limit := options.Limit
	if options.ResourceVersion == "0" {
		limit = 0 // a list of the cache as it is has one page, as upstream's
	}
	p.read(snapshot, s, continueKey, int(limit))
	if err := cmp.Or(unselectable, e.check(ctx, p)); err != nil {
		return nil, err
	}
	return p, p.mark(snapshot, s, int(limit), start)
}

// snapshot is the collection at a revision; for 0 as new as the options ask for.
func (e *endpoint) snapshot(ctx context.Context, revision int64, options *metainternal.ListOptions) (*storage.Snapshot, error) {
	collection := e.Objects.Collection()
	if revision > 0 {
		snapshot, err := collection.At(ctx, revision)
		if isFuture(err) {
			err = e.outcome(err, uint64(revision))
		}
		return snapshot, err
	}
	version := options.ResourceVersion
	if options.Continue != "" {
		version = "" // go on at the present
	}
	if err := e.reach(ctx, version); err != nil {
		return nil, err
	}
	return collection.Snapshot(), nil
}

// fieldsWithin are the row's fields of an object, for a request that ends with ctx.
// It keeps the error of the first that a webhook doesn't convert, with which all of
// a list fails: after that they are any.
func (e *endpoint) fieldsWithin(ctx context.Context, failure *error) func(*storage.Object) fields.Fields {
	return func(o *storage.Object) fields.Fields {
		if *failure != nil || o.Err != nil {
			return o.Fields
		}
		found, err := resource.Within(ctx, func() (fields.Fields, error) { return e.Fields(o) })
		if err != nil {
			*failure = err
			return o.Fields
		}
		return found
	}
}

// read collects the objects that are selected, from the key on.
func (p *page) read(snapshot *storage.Snapshot, s scope, continueKey string, limit int) {
	if s.selection.Empty() && continueKey == "" {
		size := snapshot.Len(s.prefix)
		if limit > 0 {
			size = min(size, limit)
		}
		p.objects = make([]*storage.Object, 0, size)
	}
	visit := func(o *storage.Object) bool {
		p.objects = append(p.objects, o)
		return limit <= 0 || len(p.objects) < limit
	}
	if first := named(snapshot, continueKey); first != nil && s.selection.Matches(first) && !visit(first) {
		return
	}
	snapshot.Scan(s.prefix, after(continueKey), s.selection, visit)
}

// named is the object that a continue key names: those of our tokens name the
// place behind one, but others are allowed.
func named(snapshot *storage.Snapshot, continueKey string) *storage.Object {
	if continueKey == "" || strings.HasSuffix(continueKey, "\x00") {
		return nil
	}
	return snapshot.Get(continueKey)
}

// check fails for an object that can't be read, as nobody can say whether it
// belongs to the list, and for a selection that ran out of time.
func (e *endpoint) check(ctx context.Context, p *page) error {
	if e.Hooked && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return objects.UnreadableList(p.objects, e.GroupResource())
}

// mark says where the list that started then goes on, if the page is full and
// there is more.
// Whether there is more does not depend on the selection, as upstream has it.
func (p *page) mark(snapshot *storage.Snapshot, s scope, limit int, start time.Time) error {
	if limit <= 0 || len(p.objects) < limit {
		return nil
	}
	last := p.objects[len(p.objects)-1].Key
	remaining := int64(snapshot.Rest(s.prefix, last))
	if remaining == 0 {
		return nil
	}
	token, err := encodeToken(last, s.prefix, snapshot.Revision, start)
	if err != nil {
		return err
	}
	p.meta.Continue = token
	if s.selection.Empty() {
		p.meta.RemainingItemCount = &remaining
	}
	return nil
}
