package deployment

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func deploy(replicas int32, surge, unavailable string) *appsv1.Deployment {
	s, u := intstr.Parse(surge), intstr.Parse(unavailable)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 1}, Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u}}
	return d
}

// sized makes a ReplicaSet; age orders them, the larger the older.
func sized(name string, replicas, available int32, age int) *appsv1.ReplicaSet {
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-time.Duration(age) * time.Hour))}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
	set.Status.Replicas, set.Status.AvailableReplicas, set.Status.ReadyReplicas = replicas, available, available
	return set
}

func noted(d *appsv1.Deployment, sets ...*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	for _, set := range sets {
		annotateReplicas(d, set)
	}
	return sets
}

func TestFences(t *testing.T) {
	for _, test := range []struct {
		d                  *appsv1.Deployment
		surge, unavailable int32
	}{
		{deploy(10, "25%", "25%"), 3, 2},
		{deploy(1, "25%", "25%"), 1, 0},
		{deploy(10, "0", "0%"), 0, 1},
		{deploy(3, "0", "10"), 0, 3},
		{deploy(0, "1", "1"), 1, 0},
		{&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}}}, 0, 0},
	} {
		if surge, unavailable := fences(test.d); surge != test.surge || unavailable != test.unavailable {
			t.Errorf("%+v: %d, %d", test.d.Spec.Strategy, surge, unavailable)
		}
	}
}

func TestGrow(t *testing.T) {
	for _, test := range []struct {
		d        *appsv1.Deployment
		old, new int32
		size     int32
	}{
		{deploy(10, "3", "2"), 0, 0, 10},
		{deploy(10, "3", "2"), 10, 0, 3},
		{deploy(10, "3", "2"), 8, 3, 5},
		{deploy(10, "3", "2"), 13, 0, 0},
		{deploy(10, "3", "2"), 20, 2, 2},
		{deploy(10, "3", "2"), 0, 12, 10},
		{deploy(10, "0", "1"), 10, 0, 0},
	} {
		all := []*appsv1.ReplicaSet{sized("old", test.old, test.old, 2), sized("new", test.new, test.new, 1)}
		if got := grow(test.d, all, test.new); got != test.size {
			t.Errorf("old %d, new %d: %d, not %d", test.old, test.new, got, test.size)
		}
	}
}

func TestGrowWaitsForWhatIsThere(t *testing.T) {
	d := deploy(10, "3", "2")
	old, fresh := sized("old", 8, 8, 2), sized("new", 3, 3, 1)
	all := []*appsv1.ReplicaSet{old, fresh}
	old.Status.Replicas = 10 // two are yet to be deleted
	if got := grow(d, all, 3); got != 3 {
		t.Errorf("with pods yet to be deleted: %d", got)
	}
	old.Status.Replicas, old.Generation = 8, 2
	if got := grow(d, all, 3); got != 3 {
		t.Errorf("before the old one knows: %d", got)
	}
	old.Status.ObservedGeneration = 2
	if got := grow(d, all, 3); got != 5 {
		t.Errorf("afterwards: %d", got)
	}
}

func TestShrink(t *testing.T) {
	for _, test := range []struct {
		name string
		d    *appsv1.Deployment
		new  *appsv1.ReplicaSet
		old  []*appsv1.ReplicaSet
		want string
	}{
		{"nothing old", deploy(10, "3", "2"), sized("n", 10, 10, 1), nil, "map[]"},
		{"at the minimum", deploy(10, "3", "2"), sized("n", 5, 0, 1), []*appsv1.ReplicaSet{sized("a", 8, 8, 2)}, "map[]"},
		{"to the minimum", deploy(10, "3", "2"), sized("n", 3, 0, 1), []*appsv1.ReplicaSet{sized("a", 10, 10, 2)}, "map[a:8]"},
		{"as new ones become available", deploy(10, "3", "2"), sized("n", 5, 4, 1), []*appsv1.ReplicaSet{sized("a", 8, 8, 2)}, "map[a:4]"},
		{"sick ones first, of the oldest first", deploy(10, "3", "2"), sized("n", 3, 0, 1), []*appsv1.ReplicaSet{sized("a", 8, 8, 3), sized("b", 2, 0, 2)}, "map[b:0]"},
		{"sick ones no more than the budget", deploy(10, "0", "2"), sized("n", 0, 0, 1), []*appsv1.ReplicaSet{sized("a", 10, 0, 2)}, "map[a:8]"},
		{"all when the new one is complete", deploy(10, "3", "2"), sized("n", 10, 10, 1), []*appsv1.ReplicaSet{sized("a", 1, 1, 3), sized("b", 2, 2, 2)}, "map[a:0 b:0]"},
	} {
		got := map[string]int32{}
		for _, r := range shrink(test.d, test.new, test.old) {
			got[r.set.Name] = r.size
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %v, not %s", test.name, got, test.want)
		}
	}
}

func TestProportions(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to int32
		sizes    []int32
		want     string
	}{
		// Upstream documents the first: 10 replicas, surge 3, scaled to 15 amid a rollout.
		{"up", 10, 15, []int32{8, 5}, "[11 7]"},
		{"down", 10, 5, []int32{8, 5}, "[5 3]"},
		{"to nothing", 10, 0, []int32{8, 5}, "[0 0]"},
		{"what is left goes to the largest", 10, 11, []int32{7, 3, 3}, "[8 3 3]"},
		{"no change", 10, 10, []int32{8, 5}, "[8 5]"},
	} {
		before, after := deploy(test.from, "3", "2"), deploy(test.to, "3", "2")
		var sets []*appsv1.ReplicaSet
		for i, size := range test.sizes {
			sets = append(sets, sized(fmt.Sprint(i), size, size, 9-i))
		}
		got := make([]int32, len(sets))
		for _, r := range proportions(after, noted(before, sets...)) {
			got[r.set.Name[0]-'0'] = r.size
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %v, not %s", test.name, got, test.want)
		}
	}
}

// TestRolloutKeepsItsBounds rolls Deployments by the decisions alone, with pods
// that become available and fail at random and ReplicaSets that lag behind, and
// sees that no step breaks what the strategy promises, and that all end.
func TestRolloutKeepsItsBounds(t *testing.T) {
	for seed := range int64(500) {
		random := rand.New(rand.NewSource(seed))
		want := int32(1 + random.Intn(30))
		d := deploy(want, fmt.Sprint(random.Intn(6)), fmt.Sprint(random.Intn(6)))
		surge, unavailable := fences(d)
		first, second := sized("old", want, want, 3), sized("older", 0, 0, 4)
		if half := want / 2; random.Intn(2) == 0 { // a rollout that interrupts another
			first, second = sized("old", want-half, want-half, 3), sized("older", half, half, 4)
		}
		fresh := sized("new", 0, 0, 1)
		all := []*appsv1.ReplicaSet{second, first, fresh}
		for step := 0; *fresh.Spec.Replicas != want || desired(all) != want || available(all) != want; step++ {
			if step > 5000 {
				t.Fatalf("seed %d: does not end: %v", seed, all)
			}
			if size := grow(d, all, *fresh.Spec.Replicas); size != *fresh.Spec.Replicas {
				*fresh.Spec.Replicas = size
			} else {
				for _, r := range shrink(d, fresh, all[:2]) {
					*r.set.Spec.Replicas = r.size
				}
			}
			if total := desired(all); total > want+surge {
				t.Fatalf("seed %d: %d pods of %d+%d", seed, total, want, surge)
			}
			for _, set := range all { // what the ReplicaSets do, now or later
				if random.Intn(3) == 0 {
					continue
				}
				set.Status.Replicas = *set.Spec.Replicas
				set.Status.AvailableReplicas = min(set.Status.AvailableReplicas, *set.Spec.Replicas)
				if set == fresh && set.Status.AvailableReplicas < *set.Spec.Replicas && random.Intn(2) == 0 {
					set.Status.AvailableReplicas++
				}
			}
			if pods := actual(all); pods > want+surge {
				t.Fatalf("seed %d: %d pods are there of %d+%d", seed, pods, want, surge)
			}
			// No pod failed by itself, so what isn't available was given up by us.
			if has := available(all); has < want-unavailable {
				t.Fatalf("seed %d: %d available of %d-%d", seed, has, want, unavailable)
			}
		}
	}
}

func TestActiveOrLatest(t *testing.T) {
	a, b := sized("a", 0, 0, 3), sized("b", 0, 0, 2)
	running, other := sized("r", 3, 3, 1), sized("o", 1, 1, 1)
	for _, test := range []struct {
		fresh *appsv1.ReplicaSet
		old   []*appsv1.ReplicaSet
		want  *appsv1.ReplicaSet
	}{
		{nil, nil, nil},
		{nil, []*appsv1.ReplicaSet{b, a}, b},
		{a, []*appsv1.ReplicaSet{b}, a},
		{a, []*appsv1.ReplicaSet{running}, running},
		{other, []*appsv1.ReplicaSet{running}, nil},
	} {
		if got := activeOrLatest(test.fresh, test.old); got != test.want {
			t.Errorf("%v, not %v", got, test.want)
		}
	}
}
