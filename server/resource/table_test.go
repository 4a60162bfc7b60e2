package resource

import (
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func row(group, version, name, subresource string, priority int32) *Resource {
	return &Resource{
		GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: name},
		Subresource:          subresource,
		Priority:             Priority{Group: priority, Version: 1},
	}
}

func TestTableOrder(t *testing.T) {
	table := NewTable()
	if err := table.Add(
		row("b.example", "v1beta1", "things", "", 10), row("b.example", "v1", "things", "", 10),
		row("b.example", "v1alpha1", "things", "", 10), row("b.example", "v2", "things", "", 10),
		row("a.example", "v1", "pods", "status", 10), row("a.example", "v1", "podtemplates", "", 10),
		row("a.example", "v1", "pods", "", 10), row("", "v1", "nodes", "", 100),
	); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range table.All() {
		got = append(got, r.String())
	}
	want := []string{
		"v1 nodes", "a.example/v1 pods", "a.example/v1 pods/status", "a.example/v1 podtemplates",
		"b.example/v2 things", "b.example/v1 things", "b.example/v1beta1 things", "b.example/v1alpha1 things",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableChanges(t *testing.T) {
	table := NewTable()
	pods, status := row("", "v1", "pods", "", 1), row("", "v1", "pods", "status", 1)
	if err := table.Add(pods, status); err != nil {
		t.Fatal(err)
	}
	if err := table.Add(row("", "v1", "nodes", "", 1), row("", "v1", "pods", "", 1)); err == nil {
		t.Error("a row was added twice")
	}
	gvr := pods.GroupVersionResource
	if table.Lookup(gvr.GroupVersion().WithResource("nodes"), "") != nil {
		t.Error("a refused addition left a row behind")
	}
	if table.Lookup(gvr, "") != pods || table.Lookup(gvr, "status") != status || table.Lookup(gvr, "log") != nil {
		t.Error("lookups do not find what was added")
	}
	before := table.Change()
	newPods := row("", "v1", "pods", "", 1)
	if err := table.Replace([]*Resource{pods}, []*Resource{newPods}); err != nil {
		t.Fatal(err)
	}
	table.Remove(pods) // no longer in the table: nothing happens
	if table.Lookup(gvr, "") != newPods || table.Change() <= before {
		t.Error("the replaced row is not there")
	}
	table.Remove(newPods, status)
	if table.Serves(gvr.GroupVersion()) || len(table.Groups()) != 0 {
		t.Error("an empty table serves a version")
	}
}

func TestTableIsConcurrent(t *testing.T) {
	table := NewTable()
	pods := row("", "v1", "pods", "", 1)
	if err := table.Add(pods); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 1000 {
				if !table.Serves(pods.GroupVersion()) {
					t.Error("a replacement was seen half done")
					return
				}
			}
		})
	}
	last := pods
	for range 200 {
		next := row("", "v1", "pods", "", 1)
		if err := table.Replace([]*Resource{last}, []*Resource{next}); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	readers.Wait()
}
