package fieldset

import (
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/howdah/howdah/server/builtin/schemas"
)

// kinds are the served ones that the schemas know.
func kinds(t testing.TB, converter managedfields.TypeConverter) []schema.GroupVersionKind {
	var all []schema.GroupVersionKind
	for gvk, goType := range scheme.Scheme.AllKnownTypes() {
		object := reflect.New(goType).Interface().(runtime.Object)
		if _, err := meta.Accessor(object); err != nil || gvk.Version == runtime.APIVersionInternal {
			continue
		}
		object.GetObjectKind().SetGroupVersionKind(gvk)
		if _, err := converter.ObjectToTyped(object); err == nil {
			all = append(all, gvk)
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d kinds", len(all))
	}
	return all
}

func tracker(t testing.TB, converter managedfields.TypeConverter, gvk schema.GroupVersionKind, subresource string, reset map[fieldpath.APIVersion]*fieldpath.Set, now func() time.Time) *Tracker {
	convertor := runtime.UnsafeObjectConvertor(scheme.Scheme)
	upstream, err := managedfields.NewDefaultFieldManager(converter, convertor, scheme.Scheme, scheme.Scheme, gvk, gvk.GroupVersion(), subresource, fieldpath.NewExcludeFilterSetMap(reset))
	if err != nil {
		t.Fatal(err)
	}
	return NewTracker(Options{
		Kind: gvk, Subresource: subresource, Upstream: upstream, Types: converter,
		Creater: scheme.Scheme, Convertor: convertor, Reset: reset, Now: now,
	})
}

func filler(seed int64) *randfill.Filler {
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	plainStrings := func(serializer.CodecFactory) []any {
		return []any{
			func(s *string, c randfill.Continue) {
				*s = fmt.Sprintf("t%d", c.Intn(200))
				if c.Intn(8) == 0 {
					*s = ""
				}
			},
		}
	}
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, plainStrings), rand.NewSource(seed), codecs).NilChance(.5).NumElements(1, 3)
}

func random(t testing.TB, f *randfill.Filler, gvk schema.GroupVersionKind) runtime.Object {
	obj, err := scheme.Scheme.New(gvk)
	if err != nil {
		t.Fatal(err)
	}
	f.Fill(obj)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	accessor, _ := meta.Accessor(obj)
	accessor.SetManagedFields(nil)
	owners := accessor.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = types.UID(fmt.Sprintf("owner%d", i))
	}
	accessor.SetOwnerReferences(owners)
	return obj
}

// TestTrackIsUpstream creates random objects of every kind and updates them to
// other random ones by several managers: ours and upstream's entries are the
// same bytes, whenever ours does not pass the question on.
func TestTrackIsUpstream(t *testing.T) {
	converter := schemas.NewConverter()
	var asked, answered int
	for i, gvk := range kinds(t, converter) {
		// In a bubble, so that both clocks stand still.
		synctest.Test(t, func(t *testing.T) {
			reset := map[fieldpath.APIVersion]*fieldpath.Set{
				fieldpath.APIVersion(gvk.GroupVersion().String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status"), fieldpath.MakePathOrDie("metadata", "finalizers")),
			}
			trackers := []*Tracker{tracker(t, converter, gvk, "", nil, nil), tracker(t, converter, gvk, "status", nil, nil), tracker(t, converter, gvk, "", reset, nil)}
			f := filler(int64(i))
			for round := range 6 {
				live, _ := scheme.Scheme.New(gvk)
				for step := range 4 {
					obj := random(t, f, gvk)
					if step%2 == 1 {
						obj = mutated(t, f, live)
					}
					if step > 0 {
						keepUID(live, obj)
					}
					tr := trackers[(round+step)%len(trackers)]
					manager := fmt.Sprintf("m%d", (round+step)%3)

					ours, theirs := obj.DeepCopyObject(), obj.DeepCopyObject()
					asked++
					if tr.track(live.DeepCopyObject(), ours, manager) {
						answered++
						theirs, err := tr.options.Upstream.Update(live.DeepCopyObject(), theirs, manager)
						if err != nil {
							// A list element without its keys, in a part that is left out.
							break
						}
						if a, b := entries(ours), entries(theirs); a != b {
							t.Fatalf("%v, step %d: ours\n%s\nupstream's\n%s", gvk, step, a, b)
						}
					} else {
						ours = tr.options.Upstream.UpdateNoErrors(live.DeepCopyObject(), ours, manager)
					}
					live = ours
				}
			}
		})
	}
	t.Logf("answered %d of %d", answered, asked)
	if answered < asked/3 {
		t.Errorf("plans covered only %d of %d changes", answered, asked)
	}
}

func keepUID(live, obj runtime.Object) {
	a, _ := meta.Accessor(live)
	a.SetUID("u")
	b, _ := meta.Accessor(obj)
	b.SetUID("u")
}

// mutated is live with a few fields of a random object.
func mutated(t testing.TB, f *randfill.Filler, live runtime.Object) runtime.Object {
	obj := live.DeepCopyObject()
	other := random(t, f, obj.GetObjectKind().GroupVersionKind())
	a, b := reflect.ValueOf(obj).Elem(), reflect.ValueOf(other).Elem()
	for i := 2; i < a.NumField(); i++ {
		from, to := b.Field(i), a.Field(i)
		if to.Kind() != reflect.Struct || to.NumField() == 0 {
			to.Set(from)
			continue
		}
		for range 3 {
			j := rand.Intn(to.NumField())
			if to.Field(j).CanSet() {
				to.Field(j).Set(from.Field(j))
			}
		}
	}
	accessor, _ := meta.Accessor(obj)
	liveAccessor, _ := meta.Accessor(live)
	accessor.SetManagedFields(liveAccessor.GetManagedFields())
	return obj
}

func entries(obj runtime.Object) string {
	accessor, _ := meta.Accessor(obj)
	var text strings.Builder
	for _, e := range accessor.GetManagedFields() {
		fmt.Fprintf(&text, "%s %s %s %s %v %s\n", e.Manager, e.Operation, e.APIVersion, e.Subresource, e.Time.UTC().Format(time.DateTime), e.FieldsV1)
	}
	return text.String()
}
