package statefulset

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func aSet(replicas int32, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default", UID: "set"}}
	set.Spec.Replicas = &replicas
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	set.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](0)}}
	for _, c := range change {
		c(set)
	}
	return set
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }
func onDelete(s *appsv1.StatefulSet) {
	s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
}
func from(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: n} }
}
func partition(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &n }
}
func down(n string) func(*appsv1.StatefulSet) {
	v := intstr.Parse(n)
	return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable = &v }
}

// aPod reads "ordinal state revision".
func aPod(text string) *corev1.Pod {
	words := strings.Fields(text)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-" + words[0], Namespace: "default", UID: types.UID("pod" + words[0]), Labels: map[string]string{appsv1.StatefulSetRevisionLabel: words[2]}}}
	p.Status.Phase = corev1.PodRunning
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}
	switch words[1] {
	case "ready":
		p.Status.Conditions = []corev1.PodCondition{ready}
	case "failed":
		p.Status.Phase = corev1.PodFailed
	case "going":
		p.Status.Conditions = []corev1.PodCondition{ready}
		p.DeletionTimestamp = &metav1.Time{Time: now}
	}
	return p
}

func lookAt(set *appsv1.StatefulSet, pods ...string) *look {
	var all []*corev1.Pod
	for _, text := range pods {
		all = append(all, aPod(text))
	}
	return newLook(set, revised{set, "old"}, revised{set, "new"}, all, now)
}

// next is what a sync would do, as advance does.
func (l *look) next() string {
	var words []string
	steps := l.fill()
	for _, s := range steps {
		switch s.act {
		case create:
			words = append(words, "+"+strings.TrimPrefix(s.pod.Name, "db-")+revisionOf(s.pod))
		case remove:
			words = append(words, "-"+strings.TrimPrefix(s.pod.Name, "db-"))
		}
	}
	if !l.filled(steps) {
		return strings.Join(words, " ")
	}
	doomed := l.shrink()
	if !l.ordered() || len(l.condemned) == 0 {
		doomed = append(doomed, l.roll()...)
	}
	for _, p := range doomed {
		words = append(words, "-"+strings.TrimPrefix(p.Name, "db-"))
	}
	return strings.Join(words, " ")
}

func TestNext(t *testing.T) {
	for _, test := range []struct {
		name string
		set  *appsv1.StatefulSet
		pods []string
		want string
	}{
		{"one by one", aSet(3), nil, "+0new"},
		{"waits for the one before", aSet(3), []string{"0 pending new"}, ""},
		{"then the next", aSet(3), []string{"0 ready new"}, "+1new"},
		{"all at once", aSet(3, parallel), []string{"1 pending new"}, "+0new +2new"},
		{"from another ordinal", aSet(2, from(5)), []string{"5 ready new"}, "+6new"},
		{"a gap first", aSet(3), []string{"0 ready new", "2 ready new"}, "+1new"},
		{"below the partition as before", aSet(3, partition(2)), []string{"0 ready old"}, "+1old"},
		{"from the partition on anew", aSet(3, partition(1)), []string{"0 ready old"}, "+1new"},
		{"an ended one is deleted", aSet(2), []string{"0 failed new", "1 ready new"}, "-0"},
		{"waits until it is gone", aSet(2), []string{"0 going new", "1 ready new"}, ""},
		{"down from the top", aSet(1), []string{"0 ready new", "1 ready new", "2 ready new"}, "-2"},
		{"waits for the one that goes", aSet(1), []string{"0 ready new", "1 ready new", "2 going new"}, ""},
		{"not while another is unavailable", aSet(1), []string{"0 pending new", "1 ready new"}, ""},
		{"a sick one can go", aSet(1), []string{"0 ready new", "1 pending new"}, "-1"},
		{"down at once", aSet(1, parallel), []string{"0 pending new", "1 ready new", "2 pending new"}, "-2 -1"},
		{"ordinals below the start go", aSet(1, from(1)), []string{"0 ready new", "1 ready new"}, "-0"},
		{"rolls the highest", aSet(3), []string{"0 ready old", "1 ready old", "2 ready old"}, "-2"},
		{"waits for it", aSet(3), []string{"0 ready old", "1 ready old", "2 pending new"}, ""},
		{"to the partition", aSet(3, partition(2)), []string{"0 ready old", "1 ready old", "2 ready new"}, ""},
		{"several at a time", aSet(4, down("50%")), []string{"0 ready old", "1 ready old", "2 ready old", "3 ready old"}, "-3 -2"},
		{"at least one", aSet(2, down("10%")), []string{"0 ready old", "1 ready old"}, "-1"},
		{"only when deleted", aSet(2, onDelete), []string{"0 ready old", "1 ready old"}, ""},
		{"deleted, it comes anew", aSet(2, onDelete), []string{"0 ready old"}, "+1new"},
		{"parallel: the unavailable and as many as may be", aSet(4, parallel, down("2")), []string{"0 pending old", "1 ready old", "2 ready old", "3 ready old"}, "-3 -0"},
		{"parallel: no more than may be", aSet(3, parallel), []string{"0 ready old", "1 ready old", "2 pending new"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lookAt(test.set, test.pods...).next(); got != test.want {
				t.Errorf("%q, not %q", got, test.want)
			}
		})
	}
}

// TestRollKeepsItsBounds updates and scales sets by the decisions alone, and sees
// that each ends with all replicas of the new revision, never with more pods
// unavailable than may be, and in order.
func TestRollKeepsItsBounds(t *testing.T) {
	for seed := range int64(300) {
		random := rand.New(rand.NewSource(seed))
		replicas, limit := 1+random.Intn(8), 1+random.Intn(3)
		set := aSet(int32(replicas), down(fmt.Sprint(limit)))
		if random.Intn(2) == 0 {
			parallel(set)
		}
		pods := map[int]string{}
		for i := range replicas {
			pods[i] = "ready old"
		}
		for step := 0; ; step++ {
			if step > 1000 {
				t.Fatalf("seed %d: does not end: %v", seed, pods)
			}
			var list []string
			up, done := 0, 0
			for i, state := range pods {
				list = append(list, fmt.Sprint(i, " ", state))
				if strings.HasPrefix(state, "ready") {
					up++
				}
				if state == "ready new" {
					done++
				}
			}
			if up < replicas-limit {
				t.Fatalf("seed %d: %d of %d ready with %d unavailable at most", seed, up, replicas, limit)
			}
			if done == replicas {
				break
			}
			for _, word := range strings.Fields(lookAt(set, list...).next()) {
				var ordinal int
				if _, err := fmt.Sscanf(word[1:], "%d", &ordinal); err != nil {
					t.Fatal(err)
				}
				if word[0] == '-' {
					delete(pods, ordinal)
				} else if _, ok := pods[ordinal]; ok {
					t.Fatalf("seed %d: ordinal %d twice", seed, ordinal)
				} else {
					pods[ordinal] = "pending new"
				}
			}
			for i, state := range pods {
				if strings.HasPrefix(state, "pending") && random.Intn(2) == 0 {
					pods[i] = "ready new"
				}
			}
		}
	}
}

func TestOwners(t *testing.T) {
	del, keep := appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	policy := func(deleted, scaled appsv1.PersistentVolumeClaimRetentionPolicyType) func(*appsv1.StatefulSet) {
		return func(s *appsv1.StatefulSet) {
			s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: deleted, WhenScaled: scaled}
		}
	}
	bySet := *metav1.NewControllerRef(&metav1.ObjectMeta{Name: "db", UID: "set"}, statefulSetKind)
	byPod := *metav1.NewControllerRef(&metav1.ObjectMeta{Name: "db-0", UID: "pod0"}, podKind)
	formerPod := *metav1.NewControllerRef(&metav1.ObjectMeta{Name: "db-0", UID: "former"}, podKind)
	other := *metav1.NewControllerRef(&metav1.ObjectMeta{Name: "other", UID: "other"}, podKind)
	list := func(refs ...metav1.OwnerReference) []metav1.OwnerReference { return refs }
	for _, test := range []struct {
		name     string
		set      *appsv1.StatefulSet
		has      []metav1.OwnerReference
		want     []metav1.OwnerReference
		conflict bool
	}{
		{"by default nobody", aSet(1), nil, nil, false},
		{"retained again", aSet(1), list(bySet, byPod), nil, false},
		{"with the set", aSet(1, policy(del, keep)), nil, list(bySet), false},
		{"with the set, though scaled away", aSet(0, policy(del, keep)), list(byPod), list(bySet), false},
		{"with the pod, not yet", aSet(1, policy(keep, del)), list(bySet), nil, false},
		{"with the pod", aSet(0, policy(keep, del)), nil, list(byPod), false},
		{"with both: the set", aSet(1, policy(del, del)), list(byPod), list(bySet), false},
		{"with both: the pod", aSet(0, policy(del, del)), list(bySet), list(byPod), false},
		{"of a former pod", aSet(1, policy(del, del)), list(formerPod), list(formerPod), false},
		{"somebody else's", aSet(1, policy(del, del)), list(other, bySet), list(other), true},
		{"somebody else's, by default", aSet(1), list(other), list(other), false},
	} {
		got, conflict := owners(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.has}}, test.set, aPod("0 ready new"))
		if !sameOwners(got, test.want) || conflict != test.conflict {
			t.Errorf("%s: %+v, conflict %v", test.name, got, conflict)
		}
	}
}

func TestNewPod(t *testing.T) {
	set := aSet(1)
	set.Spec.ServiceName = "peers"
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	set.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data"}, {Name: "tmp"}}
	p := newPod(set, "r", 7)
	if p.Name != "db-7" || p.Spec.Hostname != "db-7" || p.Spec.Subdomain != "peers" || p.Labels["apps.kubernetes.io/pod-index"] != "7" || p.Labels["controller-revision-hash"] != "r" || !identified(p) || !mounted(set, p, 7) {
		t.Errorf("%+v", p)
	}
	if len(p.Spec.Volumes) != 2 || p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-db-7" {
		t.Errorf("%+v", p.Spec.Volumes)
	}
	if c := claims(set, 7); len(c) != 1 || c[0].Name != "data-db-7" || c[0].Labels["app"] != "db" {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]int{"db-0": 0, "db-12": 12, "db-": -1, "db-x": -1, "db--1": -1, "db-+1": -1, "other-1": -1, "db": -1, "db-1-2": -1} {
		if got := ordinalOf(set, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}); got != want {
			t.Errorf("%s: %d, not %d", name, got, want)
		}
	}
}
