package write

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	corefuzzer "k8s.io/kubernetes/pkg/apis/core/fuzzer"
	"sigs.k8s.io/randfill"
)

var patchedKinds = []schema.GroupVersionResource{
	{Version: "v1", Resource: "pods"}, {Version: "v1", Resource: "nodes"}, {Version: "v1", Resource: "services"}, {Version: "v1", Resource: "configmaps"},
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "batch", Version: "v1", Resource: "cronjobs"},
	{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}, {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
}

// randomObjects makes objects of a row as they come out of the store: in the
// hub version, once encoded and decoded.
func randomObjects(t testing.TB, e *endpoint, seed int64) func() runtime.Object {
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme)
	filler := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, corefuzzer.Funcs), rand.NewSource(seed), codecs).NilChance(.5).NumElements(0, 3)
	return func() runtime.Object {
		obj, err := e.Creater.New(e.Kind)
		if err != nil {
			t.Fatal(err)
		}
		filler.Funcs(func(s *string, c randfill.Continue) { *s = fmt.Sprintf("s%d", c.Intn(20)) }).Fill(obj)
		e.Defaulter.Default(obj)
		document, err := runtime.Encode(e.decoders.toJSON, obj)
		if err != nil {
			t.Fatal(err)
		}
		hub, _, err := e.decoders.json.lax.Decode(document, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return hub
	}
}

// TestInPlace: patching the named fields is patching the whole object.
func TestInPlace(t *testing.T) {
	s := newServer(t, Deps{})
	inPlace, all := 0, 0
	for i, gvr := range patchedKinds {
		row := s.table.Lookup(gvr, "")
		e := newEndpoint(row, Deps{})
		random := randomObjects(t, e, int64(i))
		for range 12 {
			current, wanted := random(), random()
			before, _ := runtime.Encode(e.decoders.toJSON, current)
			after, _ := runtime.Encode(e.decoders.toJSON, wanted)
			before, after = partly(t, before, before), partly(t, before, after)
			typed, _ := e.Creater.New(e.Kind)

			for form, body := range map[string]func() ([]byte, error){
				strategic:  func() ([]byte, error) { return strategicpatch.CreateTwoWayMergePatch(before, after, typed) },
				mergePatch: func() ([]byte, error) { return jsonpatch.CreateMergePatch(before, after) },
			} {
				patchBody, err := body()
				if err != nil {
					continue // two list elements with one key
				}
				p := patch{endpoint: e, body: patchBody, validation: metav1.FieldValidationStrict, empty: row.Storage.New}
				merger := fieldMerger(strategicMerger{})
				long := func() (runtime.Object, error) {
					changes, found, err := p.changes()
					if err != nil {
						return nil, err
					}
					return p.strategicMerge(t.Context(), current, changes, found)
				}
				if form == mergePatch {
					merger = documentMerger{}
					long = func() (runtime.Object, error) { return p.documentMerge(t.Context(), current, nil) }
				}
				changes, _, err := p.changes()
				if err != nil {
					t.Fatal(err)
				}
				all++
				untouched := current.DeepCopyObject()
				ours, err := p.inPlace(current, changes, merger)
				if !apiequality.Semantic.DeepEqual(untouched, current) {
					t.Fatalf("%s changed the current object", patchBody)
				}
				if err != nil {
					continue
				}
				inPlace++
				theirs, err := long()
				if err != nil {
					t.Fatalf("%s\nthe long way fails: %v", patchBody, err)
				}
				a, _ := runtime.Encode(e.decoders.toJSON, ours)
				b, _ := runtime.Encode(e.decoders.toJSON, theirs)
				if string(a) != string(b) {
					t.Fatalf("%s of\n%s\n%s\nis in place\n%s\nand the long way\n%s", form, before, patchBody, a, b)
				}
			}
		}
	}
	t.Logf("%d of %d in place", inPlace, all)
	if inPlace < all/2 {
		t.Errorf("only %d of %d patches were applied in place", inPlace, all)
	}
}

// partly is a document with some fields of another: a random choice two levels deep.
func partly(t testing.TB, document, other []byte) []byte {
	var a, b map[string]any
	if json.Unmarshal(document, &a) != nil || json.Unmarshal(other, &b) != nil {
		t.Fatal("no documents")
	}
	for name, v := range a {
		inner, ok := v.(map[string]any)
		theirs, too := b[name].(map[string]any)
		if !ok || !too {
			continue
		}
		for _, name := range []string{"name", "namespace", "uid"} {
			delete(inner, name)
			delete(theirs, name)
		}
		for name := range inner {
			if rand.Intn(3) == 0 {
				inner[name] = theirs[name]
				if inner[name] == nil {
					delete(inner, name)
				}
			}
		}
		for name := range theirs {
			if rand.Intn(6) == 0 {
				inner[name] = theirs[name]
			}
		}
	}
	merged, _ := json.Marshal(a)
	return merged
}
