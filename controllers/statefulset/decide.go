package statefulset

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/howdah/howdah/controllers/pod"
)

// A look is one look at a StatefulSet and its pods.
type look struct {
	set             *appsv1.StatefulSet
	current, update revised       // the set as of the revision it leaves, and of the one it goes to
	replicas        []*corev1.Pod // by ordinal; those that don't exist have no UID
	condemned       []*corev1.Pod // the highest ordinal first
	now             time.Time
}

// revised is a set with the template of a revision, and the revision's name.
type revised struct {
	set  *appsv1.StatefulSet
	name string
}

func newLook(set *appsv1.StatefulSet, current, update revised, pods []*corev1.Pod, now time.Time) *look {
	l := &look{set: set, current: current, update: update, replicas: make([]*corev1.Pod, *set.Spec.Replicas), now: now}
	for _, p := range pods {
		switch ordinal := ordinalOf(set, p); {
		case inRange(set, ordinal):
			l.replicas[ordinal-firstOrdinal(set)] = p
		case ordinal >= 0:
			l.condemned = append(l.condemned, p)
		}
	}
	slices.SortFunc(l.condemned, func(a, b *corev1.Pod) int { return cmp.Compare(ordinalOf(set, b), ordinalOf(set, a)) })
	for i, p := range l.replicas {
		if p == nil {
			l.replicas[i] = l.missing(firstOrdinal(set) + i)
		}
	}
	return l
}

// missing is the pod of an ordinal that has none: of the current revision below
// the partition, else of the new one.
func (l *look) missing(ordinal int) *corev1.Pod {
	of := l.update
	if strategy := l.set.Spec.UpdateStrategy; strategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		kept := int(l.set.Status.CurrentReplicas)
		if strategy.RollingUpdate != nil && strategy.RollingUpdate.Partition != nil {
			kept = int(*strategy.RollingUpdate.Partition)
		}
		if ordinal < firstOrdinal(l.set)+kept {
			of = l.current
		}
	}
	return newPod(of.set, of.name, ordinal)
}

func created(p *corev1.Pod) bool { return p.UID != "" }

func going(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

func (l *look) available(p *corev1.Pod) bool {
	return !going(p) && pod.Available(p, l.set.Spec.MinReadySeconds, l.now)
}

// ordered is whether each pod waits for those before it.
func (l *look) ordered() bool { return l.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement }

// An act is what to do with one pod.
type act int

const (
	nothing act = iota
	create
	remove
	// adjust makes the pod's labels, volumes and claims what they should be.
	adjust
)

// A step is an act, and whether those that come after must wait.
type step struct {
	pod  *corev1.Pod
	act  act
	wait bool
}

// fill are the steps towards having every replica, in order. In ordered sets the
// steps end with the first that others wait for.
func (l *look) fill() []step {
	var steps []step
	for _, p := range l.replicas {
		s := step{pod: p, act: adjust}
		switch {
		case created(p) && pod.Terminal(p):
			s.act, s.wait = remove, true
			if going(p) {
				s.act = nothing
			}
		case !created(p):
			s.act, s.wait = create, true
		case going(p), !l.available(p):
			s.wait = true
		}
		steps = append(steps, s)
		if l.ordered() && s.wait {
			break
		}
	}
	return steps
}

// filled is whether nothing of the steps has to be waited for. Parallel sets go
// on at once, but for pods that have ended.
func (l *look) filled(steps []step) bool {
	return !l.ordered() || !slices.ContainsFunc(steps, func(s step) bool { return s.wait })
}

// shrink are the condemned pods to delete. In ordered sets that is one at a time,
// and not while another pod isn't available, unless it is that very pod.
func (l *look) shrink() []*corev1.Pod {
	if !l.ordered() {
		return slices.DeleteFunc(slices.Clone(l.condemned), going)
	}
	if len(l.condemned) == 0 || going(l.condemned[0]) {
		return nil
	}
	if p := l.condemned[0]; l.available(p) || p == l.firstUnavailable() {
		return []*corev1.Pod{p}
	}
	return nil
}

// firstUnavailable is that of the lowest ordinal, or nil.
func (l *look) firstUnavailable() *corev1.Pod {
	for _, p := range l.replicas {
		if !l.available(p) {
			return p
		}
	}
	for _, p := range slices.Backward(l.condemned) {
		if !l.available(p) {
			return p
		}
	}
	return nil
}

// roll are the pods to delete so that they come again of the new revision, the
// highest ordinals first, and no more than may be unavailable
// (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#rolling-updates).
func (l *look) roll() []*corev1.Pod {
	if l.set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return nil
	}
	partition, limit := 0, 1
	if r := l.set.Spec.UpdateStrategy.RollingUpdate; r != nil {
		if r.Partition != nil {
			partition = int(*r.Partition)
		}
		limit = maxUnavailable(r.MaxUnavailable, len(l.replicas))
	}
	unavailable := 0
	for _, p := range l.replicas {
		if !l.available(p) {
			unavailable++
		}
	}
	budget := limit - unavailable
	var doomed []*corev1.Pod
	for i := len(l.replicas) - 1; i >= partition; i-- {
		p := l.replicas[i]
		if revisionOf(p) == l.update.name || going(p) || !created(p) {
			continue
		}
		switch {
		// What isn't available anyway costs nothing. An ordered set only comes
		// here with all pods available.
		case !l.ordered() && !l.available(p):
			doomed = append(doomed, p)
		case budget > 0:
			budget--
			doomed = append(doomed, p)
		}
	}
	return doomed
}

// maxUnavailable is at least 1.
func maxUnavailable(value *intstr.IntOrString, replicas int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(value, intstr.FromInt32(1)), replicas, false)
	if err != nil {
		return 1 // validation let no such value in
	}
	return max(1, n)
}

// status is what the set is to say of itself. pods are those there were; deleted
// and made are what this sync did to them.
func (l *look) status(pods []*corev1.Pod, made []*corev1.Pod, deleted map[*corev1.Pod]bool) appsv1.StatefulSetStatus {
	before := l.set.Status
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: l.set.Generation, CurrentRevision: l.current.name, UpdateRevision: l.update.name,
		CollisionCount: before.CollisionCount, Conditions: before.Conditions,
	}
	for _, p := range pods {
		s.Replicas++
		if p.Status.Phase == corev1.PodRunning && pod.Ready(p) {
			s.ReadyReplicas++
			if pod.Available(p, l.set.Spec.MinReadySeconds, l.now) {
				s.AvailableReplicas++
			}
		}
	}
	s.Replicas += int32(len(made))
	for _, p := range slices.Concat(pods, made) {
		if going(p) || deleted[p] {
			continue
		}
		if revisionOf(p) == l.current.name {
			s.CurrentReplicas++
		}
		if revisionOf(p) == l.update.name {
			s.UpdatedReplicas++
		}
	}
	if want := *l.set.Spec.Replicas; s.UpdatedReplicas == want && s.ReadyReplicas == want && s.Replicas == want {
		s.CurrentReplicas, s.CurrentRevision = s.UpdatedReplicas, s.UpdateRevision
	}
	return s
}

func revisionOf(p *corev1.Pod) string { return p.Labels[appsv1.StatefulSetRevisionLabel] }
