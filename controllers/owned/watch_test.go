package owned

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

func TestWatch(t *testing.T) {
	web, db := owner("web", labeled("web")), owner("db", labeled("db"))
	db.Name = "db"
	version := func(v string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) { m.ResourceVersion = v }
	}
	for _, test := range []struct {
		name   string
		event  func(cache.ResourceEventHandler)
		told   []string
		change int
	}{
		{"an orphan appears", func(h cache.ResourceEventHandler) { h.OnAdd(aPod(labeled("web")), true) }, []string{"web"}, 0},
		{"an orphan of nobody", func(h cache.ResourceEventHandler) { h.OnAdd(aPod(labeled("x")), true) }, nil, 0},
		{"an orphan that ends", func(h cache.ResourceEventHandler) { h.OnAdd(aPod(labeled("web"), deleted), true) }, nil, 0},
		{"an owned one appears", func(h cache.ResourceEventHandler) { h.OnAdd(aPod(of(db)), false) }, []string{"db"}, 0},
		{"one of an owner that is another now", func(h cache.ResourceEventHandler) { h.OnAdd(aPod(of(owner("former"))), false) }, nil, 0},
		{"an owned one is deleted", func(h cache.ResourceEventHandler) { h.OnDelete(aPod(of(db))) }, []string{"db"}, 0},
		{"an owned one was deleted unseen", func(h cache.ResourceEventHandler) { h.OnDelete(cache.DeletedFinalStateUnknown{Obj: aPod(of(db))}) }, []string{"db"}, 0},
		{"a resync", func(h cache.ResourceEventHandler) { h.OnUpdate(aPod(of(db)), aPod(of(db))) }, nil, 0},
		{"an owned one changes", func(h cache.ResourceEventHandler) { h.OnUpdate(aPod(of(db), version("1")), aPod(of(db), version("2"))) }, []string{"db"}, 1},
		{"one is released", func(h cache.ResourceEventHandler) {
			h.OnUpdate(aPod(of(db), version("1"), labeled("web")), aPod(version("2"), labeled("web")))
		}, []string{"db", "web"}, 0},
		{"one is adopted", func(h cache.ResourceEventHandler) {
			h.OnUpdate(aPod(version("1"), labeled("web")), aPod(of(web), version("2"), labeled("web")))
		}, []string{"web"}, 1},
		{"an orphan's labels change", func(h cache.ResourceEventHandler) {
			h.OnUpdate(aPod(version("1"), labeled("x")), aPod(version("2"), labeled("db")))
		}, []string{"db"}, 0},
		{"an orphan changes otherwise", func(h cache.ResourceEventHandler) {
			h.OnUpdate(aPod(version("1"), labeled("db")), aPod(version("2"), labeled("db")))
		}, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var told []string
			changes := 0
			test.event(Watch[*metav1.ObjectMeta, *corev1.Pod]{
				Kind: "ReplicaSet",
				Get: func(_, name string) (*metav1.ObjectMeta, error) {
					for _, o := range []*metav1.ObjectMeta{web, db} {
						if o.Name == name {
							return o, nil
						}
					}
					return nil, apierrors.NewNotFound(corev1.Resource("x"), name)
				},
				List:     func(string) ([]*metav1.ObjectMeta, error) { return []*metav1.ObjectMeta{web, db}, nil },
				Selector: func(o *metav1.ObjectMeta) (labels.Selector, error) { return labels.SelectorFromSet(o.Labels), nil },
				Enqueue:  func(name cache.ObjectName) { told = append(told, name.Name) },
				Changed:  func(_ *metav1.ObjectMeta, _, _ *corev1.Pod) { changes++ },
			}.Handler())
			if !slices.Equal(told, test.told) || changes != test.change {
				t.Errorf("told %v of %d changes, not %v of %d", told, changes, test.told, test.change)
			}
		})
	}
}
