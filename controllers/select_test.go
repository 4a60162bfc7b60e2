package controllers

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

func TestSelect(t *testing.T) {
	all, off := Names()
	onByDefault := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(off, name) })
	without := func(names []string, one string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == one })
	}
	for asked, want := range map[string][]string{
		"*":                                onByDefault,
		"":                                 nil,
		"*,-serviceaccount":                without(onByDefault, "serviceaccount-controller"),
		"*,-serviceaccount-controller":     without(onByDefault, "serviceaccount-controller"),
		"-serviceaccount,serviceaccount,*": without(onByDefault, "serviceaccount-controller"),
		"serviceaccount":                   {"serviceaccount-controller"},
		"-serviceaccount":                  nil,
	} {
		o := &Options{}
		if asked != "" {
			o.Config.Generic.Controllers = strings.Split(asked, ",")
		}
		rows, err := o.selected()
		if err != nil {
			t.Errorf("%q: %v", asked, err)
			continue
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q selects %q, want %q", asked, got, want)
		}
		if o.None() != (len(want) == 0) {
			t.Errorf("%q: None() is %v", asked, o.None())
		}
	}
	o, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Generic.Controllers = []string{"*", "-nonsense", "other"}
	err = o.Validate()
	for _, want := range []string{`"nonsense" is not in the list of known controllers`, `"other" is not in the list of known controllers`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't say %s", err, want)
		}
	}
}

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table(&Options{}) {
		// The token controller can't have a token of its own.
		if r.account == "" && r.name != names.ServiceAccountTokenController || r.setup == nil {
			t.Errorf("%s is incomplete", r.name)
		}
		for _, name := range append(r.aliases, r.name) {
			if seen[name] {
				t.Errorf("two controllers are called %s", name)
			}
			seen[name] = true
		}
	}
}

func TestDefaults(t *testing.T) {
	o, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	if c := o.Config; !slices.Equal(c.Generic.Controllers, []string{"*"}) || c.NamespaceController.ConcurrentNamespaceSyncs != 10 || c.GarbageCollectorController.ConcurrentGCSyncs != 20 {
		t.Errorf("%+v", c)
	}
	if external, err := o.External(); err != nil || external.Kind != "KubeControllerManagerConfiguration" {
		t.Errorf("%v %v", external, err)
	}
}
