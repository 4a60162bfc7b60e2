package garbage

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	widgets = &kind{resource: schema.GroupVersionResource{Version: "v1", Resource: "widgets"}, apiVersion: "v1", kind: "Widget", namespaced: true}
	planets = &kind{resource: schema.GroupVersionResource{Version: "v1", Resource: "planets"}, apiVersion: "v1", kind: "Planet"}
)

// object is one whose UID is its name.
func object(namespace, name string, change ...func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), ResourceVersion: "7"}}
	for _, change := range change {
		change(o)
	}
	return o
}

func owner(k *kind, name string) func(*metav1.PartialObjectMetadata) {
	return func(o *metav1.PartialObjectMetadata) {
		block := true
		o.OwnerReferences = append(o.OwnerReferences, metav1.OwnerReference{APIVersion: k.apiVersion, Kind: k.kind, Name: name, UID: types.UID(name), BlockOwnerDeletion: &block})
	}
}

func deleting(finalizers ...string) func(*metav1.PartialObjectMetadata) {
	return func(o *metav1.PartialObjectMetadata) {
		now := metav1.Now()
		o.DeletionTimestamp, o.Finalizers = &now, finalizers
	}
}

func sorted(uids []types.UID) string {
	slices.Sort(uids)
	return fmt.Sprint(slices.Compact(uids))
}

func TestGraphGivesReasonsToLook(t *testing.T) {
	g := newGraph()
	for i, step := range []struct {
		do             func() work
		delete, orphan string
	}{
		{func() work { return g.observe(widgets, object("a", "owner")) }, "[]", "[]"},
		{func() work { return g.observe(widgets, object("a", "child", owner(widgets, "owner"))) }, "[]", "[]"},
		{func() work { return g.observe(widgets, object("a", "child", owner(widgets, "owner"))) }, "[]", "[]"},
		{func() work { return g.observe(widgets, object("a", "early", owner(widgets, "late"))) }, "[early]", "[]"}, // its owner wasn't seen
		{func() work { return g.observe(widgets, object("a", "late")) }, "[]", "[]"},
		{func() work { return g.observe(widgets, object("b", "elsewhere", owner(widgets, "owner"))) }, "[elsewhere]", "[]"},
		{func() work { return g.observe(planets, object("", "earth")) }, "[]", "[]"},
		{func() work { return g.observe(widgets, object("a", "on-earth", owner(planets, "earth"))) }, "[]", "[]"},
		{func() work {
			return g.observe(widgets, object("a", "owner", deleting(metav1.FinalizerDeleteDependents)))
		}, "[child elsewhere owner]", "[]"},
		{func() work { return g.observe(widgets, object("a", "newcomer", owner(widgets, "owner"))) }, "[newcomer]", "[]"},
		{func() work { return g.remove("child") }, "[owner]", "[]"},
		{func() work { return g.observe(widgets, object("b", "elsewhere")) }, "[owner]", "[]"},
		{func() work { return g.remove("owner") }, "[newcomer]", "[]"},
		{func() work { return g.remove("owner") }, "[]", "[]"},
		{func() work { return g.remove("newcomer") }, "[]", "[]"},
		{func() work {
			return g.observe(planets, object("", "earth", deleting(metav1.FinalizerOrphanDependents)))
		}, "[]", "[earth]"},
		{func() work {
			return g.observe(planets, object("", "earth", deleting(metav1.FinalizerOrphanDependents)))
		}, "[]", "[]"},
	} {
		look := step.do()
		if sorted(look.delete) != step.delete || sorted(look.orphan) != step.orphan {
			t.Errorf("step %d: %v, want delete %s, orphan %s", i, look, step.delete, step.orphan)
		}
	}
	if g.nodes["owner"] != nil || g.nodes["newcomer"] != nil {
		t.Error("what is gone and owns nothing is kept")
	}
}

func TestDecide(t *testing.T) {
	background, foreground, orphan := metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan
	named := func(uid types.UID, waits bool) ownerView {
		return ownerView{reference: reference{uid: uid}, waits: waits}
	}
	gone := map[types.UID]bool{"gone": true, "lost": true}
	for name, c := range map[string]struct {
		view view
		want verdict
	}{
		"kept":                 {view{owners: []ownerView{named("solid", false)}}, verdict{}},
		"kept by one":          {view{owners: []ownerView{named("gone", false), named("solid", false), named("waits", true)}}, verdict{remove: []types.UID{"gone", "waits"}}},
		"all gone":             {view{owners: []ownerView{named("gone", false), named("lost", false)}}, verdict{delete: &background}},
		"gone and waiting":     {view{owners: []ownerView{named("gone", false), named("waits", true)}}, verdict{delete: &background}},
		"waiting":              {view{owners: []ownerView{named("waits", true)}}, verdict{delete: &background}},
		"waiting, dependents":  {view{owners: []ownerView{named("waits", true)}, dependents: []types.UID{"d"}}, verdict{delete: &foreground}},
		"circle":               {view{owners: []ownerView{named("waits", true)}, dependents: []types.UID{"d"}, circular: true}, verdict{delete: &foreground, unblock: true}},
		"own orphan finalizer": {view{owners: []ownerView{named("gone", false)}, orphaning: true}, verdict{delete: &orphan}},
		"own foreground":       {view{owners: []ownerView{named("gone", false)}, foreground: true}, verdict{delete: &foreground}},
	} {
		got := decide(&c.view, gone)
		same := slices.Equal(got.remove, c.want.remove) && got.unblock == c.want.unblock && (got.delete == nil) == (c.want.delete == nil) && (got.delete == nil || *got.delete == *c.want.delete)
		if !same {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestGraphIsWhatWasSeen compares the graph, after any history, with one that is
// made of what is there at its end.
func TestGraphIsWhatWasSeen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string { return fmt.Sprintf("o%d", random.IntN(12)) }
	for range 300 {
		g, there := newGraph(), map[string]*metav1.PartialObjectMetadata{}
		for range 60 {
			n := name()
			if random.IntN(3) == 0 {
				g.remove(types.UID(n))
				delete(there, n)
				continue
			}
			o := object("a", n)
			for range random.IntN(3) {
				owner(widgets, name())(o)
			}
			g.observe(widgets, o)
			there[n] = o
		}
		want := newGraph()
		for _, o := range there {
			want.observe(widgets, o)
		}
		if got, want := shape(g), shape(want); got != want {
			t.Fatalf("the graph is\n%s\nwant\n%s", got, want)
		}
	}
}

func shape(g *graph) string {
	var lines []string
	for uid, n := range g.nodes {
		var owners, dependents []types.UID
		for _, e := range n.owners {
			owners = append(owners, e.owner.uid)
		}
		for d := range n.dependents {
			dependents = append(dependents, d.uid)
		}
		lines = append(lines, fmt.Sprintf("%s seen=%v owners=%s dependents=%s", uid, n.seen(), sorted(owners), sorted(dependents)))
	}
	slices.Sort(lines)
	return fmt.Sprint(lines)
}

// TestMemory bounds what 100,000 objects with owners cost: the graph is all that
// the collector keeps of them.
func TestMemory(t *testing.T) {
	const objects, bound = 100_000, 700 // bytes each
	g := newGraph()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range objects {
		uid := types.UID(fmt.Sprintf("%08d-1111-2222-3333-444444444444", i))
		parent := fmt.Sprintf("owner-%d", i/10)
		o := object("namespace", fmt.Sprintf("some-deployment-5d4f8c7b9-%05d", i), owner(widgets, parent))
		o.UID = uid
		g.observe(widgets, o)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / objects
	t.Logf("%d bytes an object", each)
	if each > bound {
		t.Errorf("%d bytes an object, want at most %d", each, bound)
	}
	runtime.KeepAlive(g)
}
