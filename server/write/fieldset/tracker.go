package fieldset

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// maxUpdaters is how many managers that update an object may have before
// upstream's manager merges the oldest ones.
const maxUpdaters = 10

// A Tracker notes in an object's managed fields who changed what: with the
// same result as upstream's field manager, which it asks whenever a plan does
// not cover the case.
type Tracker struct {
	options Options
	plan    func() *Plan // nil: not for this kind
	sets    sets
}

// Options of a tracker; all but Reset are required.
type Options struct {
	Kind        schema.GroupVersionKind
	Subresource string
	// Upstream tracks what the plan does not cover.
	Upstream *managedfields.FieldManager
	Types    managedfields.TypeConverter
	Creater  runtime.ObjectCreater
	// Convertor converts to Kind's version without a copy.
	Convertor runtime.ObjectConvertor
	// Reset are the fields that this endpoint does not change, by version.
	Reset map[fieldpath.APIVersion]*fieldpath.Set
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// NewTracker returns a tracker; schemas are only looked at when it is first used.
func NewTracker(o Options) *Tracker {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Tracker{options: o}
	t.plan = sync.OnceValue(t.makePlan)
	t.sets.known = map[string]*ownedSet{}
	return t
}

// stripped are the fields that nobody owns.
func stripped() *fieldpath.Set {
	set := fieldpath.NewSet(fieldpath.MakePathOrDie("apiVersion"), fieldpath.MakePathOrDie("kind"))
	for _, name := range []string{"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"} {
		set.Insert(fieldpath.MakePathOrDie("metadata", name))
	}
	return set
}

func (t *Tracker) makePlan() *Plan {
	empty, err := t.options.Creater.New(t.options.Kind)
	if err != nil {
		return nil
	}
	empty.GetObjectKind().SetGroupVersionKind(t.options.Kind)
	typed, err := t.options.Types.ObjectToTyped(empty)
	if err != nil {
		return nil
	}
	skip := stripped()
	if reset := t.options.Reset[t.version()]; reset != nil {
		skip = skip.Union(reset)
	}
	t.sets.typed = typed
	plan, err := NewPlan(empty, typed.Schema(), typed.TypeRef(), skip)
	if err != nil {
		return nil
	}
	return plan
}

func (t *Tracker) version() fieldpath.APIVersion {
	return fieldpath.APIVersion(t.options.Kind.GroupVersion().String())
}

// Track returns obj, which manager made of live, with its managed fields. live
// is an object without UID when obj is new.
func (t *Tracker) Track(live, obj runtime.Object, manager string) runtime.Object {
	if t.track(live, obj, manager) {
		return obj
	}
	return t.options.Upstream.UpdateNoErrors(live, obj, manager)
}

// track says whether it could; when not, it has changed nothing.
func (t *Tracker) track(live, obj runtime.Object, manager string) bool {
	liveMeta, err := meta.Accessor(live)
	if err != nil {
		return false
	}
	objMeta, err := meta.Accessor(obj)
	if err != nil {
		return false
	}
	plan := t.plan()
	if plan == nil {
		return false
	}
	entries := liveMeta.GetManagedFields()
	if !t.keepsEntries(entries, objMeta.GetManagedFields()) {
		return false
	}
	if len(entries) == 0 && liveMeta.GetUID() != "" {
		// It was not tracked from its creation on, so it is not now.
		objMeta.SetManagedFields(nil)
		return true
	}
	after, err := t.versioned(obj)
	if err != nil {
		return false
	}
	own := t.entry(manager)
	if len(entries) == 0 {
		return t.trackNew(plan, objMeta, after, own)
	}
	before, err := t.versioned(live)
	if err != nil {
		return false
	}
	changed, removed, err := plan.Changes(before, after)
	if err != nil {
		return false
	}
	if entries, ok := t.updated(entries, own, changed, removed); ok {
		objMeta.SetManagedFields(entries)
		return true
	}
	return false
}

// keepsEntries says whether the caller left the managed fields alone, rather
// than editing or resetting them.
func (t *Tracker) keepsEntries(live, obj []metav1.ManagedFieldsEntry) bool {
	if t.options.Subresource != "" || obj == nil {
		return true
	}
	return len(live) == len(obj) && (len(obj) > 0 || len(live) == 0) && slices.EqualFunc(live, obj, equalEntries)
}

func equalEntries(a, b metav1.ManagedFieldsEntry) bool {
	if a.FieldsV1 == nil || b.FieldsV1 == nil {
		return false
	}
	return sameManager(a, b) && a.FieldsType == b.FieldsType && a.Time.Equal(b.Time) &&
		bytes.Equal(a.FieldsV1.GetRawBytes(), b.FieldsV1.GetRawBytes())
}

func sameManager(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

func (t *Tracker) versioned(obj runtime.Object) (runtime.Object, error) {
	return t.options.Convertor.ConvertToVersion(obj, t.options.Kind.GroupVersion())
}

// entry is the manager's own, without fields.
func (t *Tracker) entry(manager string) metav1.ManagedFieldsEntry {
	if manager == "" {
		manager = "unknown"
	}
	return metav1.ManagedFieldsEntry{
		Manager:     manager,
		Operation:   metav1.ManagedFieldsOperationUpdate,
		APIVersion:  string(t.version()),
		Time:        &metav1.Time{Time: t.options.Now().UTC()},
		FieldsType:  "FieldsV1",
		Subresource: t.options.Subresource,
	}
}

func (t *Tracker) trackNew(plan *Plan, obj metav1.Object, after runtime.Object, own metav1.ManagedFieldsEntry) bool {
	fields, err := plan.Created(after)
	if err != nil {
		return false
	}
	if fields == nil {
		obj.SetManagedFields(nil)
		return true
	}
	own.FieldsV1 = fields
	obj.SetManagedFields([]metav1.ManagedFieldsEntry{own})
	return true
}

// updated are the entries after own's manager changed some paths and removed
// others. It takes no part of what it is given.
func (t *Tracker) updated(live []metav1.ManagedFieldsEntry, own metav1.ManagedFieldsEntry, changed, removed []fieldpath.Path) ([]metav1.ManagedFieldsEntry, bool) {
	entries := make([]metav1.ManagedFieldsEntry, 0, len(live)+1)
	updaters, found := 0, false
	for i, entry := range live {
		if entry.Operation == metav1.ManagedFieldsOperationUpdate {
			updaters++
		}
		if slices.ContainsFunc(live[:i], func(other metav1.ManagedFieldsEntry) bool { return sameManager(entry, other) }) {
			return nil, false
		}
		owned, ok := t.sets.of(entry, t.version())
		if !ok {
			return nil, false
		}
		set := owned.set
		switch mine := sameManager(entry, own); {
		case mine && len(changed) > 0:
			found = true
			entry.Time = own.Time
			if has(set, removed) {
				set = set.Difference(SetOf(removed))
			}
			if !hasAll(set, changed) {
				set = set.Union(SetOf(changed))
			}
		case mine:
			found = true
			if has(set, removed) {
				set = set.Difference(SetOf(removed))
			}
		case has(set, changed) || has(set, removed):
			set = set.Difference(SetOf(changed)).Difference(SetOf(removed))
		}
		if set.Empty() {
			found = found && !sameManager(entry, own)
			continue
		}
		if set != owned.set && !setFields(&entry, set) {
			return nil, false
		}
		entries = append(entries, entry)
	}
	if !found && len(changed) > 0 {
		if !setFields(&own, SetOf(changed)) {
			return nil, false
		}
		entries = append(entries, own)
		updaters++
	}
	if updaters > maxUpdaters {
		return nil, false
	}
	slices.SortStableFunc(entries, compareEntries)
	return entries, true
}

func has(set *fieldpath.Set, paths []fieldpath.Path) bool {
	return slices.ContainsFunc(paths, set.Has)
}

func hasAll(set *fieldpath.Set, paths []fieldpath.Path) bool {
	for _, path := range paths {
		if !set.Has(path) {
			return false
		}
	}
	return true
}

func setFields(entry *metav1.ManagedFieldsEntry, set *fieldpath.Set) bool {
	fields, err := set.ToJSON()
	if err != nil {
		return false
	}
	entry.FieldsV1 = &metav1.FieldsV1{}
	entry.FieldsV1.SetRawBytes(fields)
	return true
}

// compareEntries is the order in which entries are stored.
func compareEntries(a, b metav1.ManagedFieldsEntry) int {
	seconds := func(t *metav1.Time) int64 {
		if t == nil {
			return 0
		}
		return t.Unix()
	}
	return cmp.Or(
		cmp.Compare(a.Operation, b.Operation),
		cmp.Compare(seconds(a.Time), seconds(b.Time)),
		cmp.Compare(a.Manager, b.Manager),
		cmp.Compare(a.APIVersion, b.APIVersion),
		cmp.Compare(a.Subresource, b.Subresource),
	)
}
