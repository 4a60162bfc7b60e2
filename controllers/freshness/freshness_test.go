package freshness

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

func pod(name, uid, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid), ResourceVersion: version}}
}

func terminating(p *corev1.Pod) *corev1.Pod {
	now := metav1.Now()
	p.DeletionTimestamp = &now
	return p
}

var owner = cache.ObjectName{Namespace: "default", Name: "web"}

func TestFreshness(t *testing.T) {
	for _, test := range []struct {
		name   string
		write  func(*Tracker, cache.Store)
		learn  func(cache.Store) error
		before bool
	}{
		{"nothing written", func(*Tracker, cache.Store) {}, func(cache.Store) error { return nil }, true},
		{"created", func(t *Tracker, s cache.Store) { t.Wrote(owner, s, pod("a", "1", "12")) }, func(s cache.Store) error { return s.Add(pod("a", "1", "12")) }, false},
		{"the newest of many counts", func(t *Tracker, s cache.Store) {
			t.Wrote(owner, s, pod("a", "1", "9"))
			t.Wrote(owner, s, pod("b", "2", "12"))
			t.Wrote(owner, s, pod("c", "3", "11"))
		}, func(s cache.Store) error { return s.Add(pod("b", "2", "12")) }, false},
		{"a later write of another will do", func(t *Tracker, s cache.Store) { t.Wrote(owner, s, pod("a", "1", "12")) }, func(s cache.Store) error { return s.Add(pod("z", "9", "100")) }, false},
		{"already seen", func(t *Tracker, s cache.Store) { t.Wrote(owner, s, pod("a", "1", "4")) }, func(cache.Store) error { return nil }, true},
		{"deleted, and terminating", func(t *Tracker, s cache.Store) { t.Deleted(owner, s, pod("old", "0", "5")) }, func(s cache.Store) error { return s.Update(terminating(pod("old", "0", "13"))) }, false},
		{"deleted, and gone", func(t *Tracker, s cache.Store) { t.Deleted(owner, s, pod("old", "0", "5")) }, func(s cache.Store) error { return s.Delete(pod("old", "0", "13")) }, false},
		{"deleted, and there again", func(t *Tracker, s cache.Store) { t.Deleted(owner, s, pod("old", "0", "5")) }, func(s cache.Store) error { return s.Update(pod("old", "77", "13")) }, false},
		{"versions that can't be compared", func(t *Tracker, s cache.Store) { t.Wrote(owner, s, pod("a", "1", "")) }, func(cache.Store) error { return nil }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := cache.NewStore(cache.MetaNamespaceKeyFunc)
			if err := store.Add(pod("old", "0", "5")); err != nil {
				t.Fatal(err)
			}
			tracker := &Tracker{}
			test.write(tracker, store)
			if got := tracker.Fresh(owner); got != test.before {
				t.Errorf("before the cache learned of it: fresh is %v", got)
			}
			if err := test.learn(store); err != nil {
				t.Fatal(err)
			}
			if !tracker.Fresh(owner) {
				t.Error("the cache learned of it and still isn't fresh")
			}
			if len(tracker.owners) != 0 {
				t.Errorf("kept %v", tracker.owners)
			}
		})
	}
}

func TestForget(t *testing.T) {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	tracker := &Tracker{}
	tracker.Wrote(owner, store, pod("a", "1", "12"))
	if other := (cache.ObjectName{Namespace: "default", Name: "other"}); !tracker.Fresh(other) {
		t.Error("another owner's writes count")
	}
	tracker.Forget(owner)
	if !tracker.Fresh(owner) {
		t.Error("a forgotten owner isn't fresh")
	}
}
