package scheduler

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// watch follows pods, nodes and namespaces, and what else may help pods that
// wait.
func (s *Scheduler) watch(factory informers.SharedInformerFactory) error {
	core := factory.Core().V1()
	if err := follow(s, core.Pods().Informer(), s.podChanged); err != nil {
		return err
	}
	if err := follow(s, core.Nodes().Informer(), s.nodeChanged); err != nil {
		return err
	}
	if err := follow(s, core.Namespaces().Informer(), s.namespaceChanged); err != nil {
		return err
	}
	if err := s.watchVolumes(factory); err != nil {
		return err
	}
	if err := s.watchDevices(factory); err != nil {
		return err
	}
	// These are only looked up.
	for _, informer := range []cache.SharedIndexInformer{
		core.Services().Informer(), core.ReplicationControllers().Informer(),
		factory.Apps().V1().ReplicaSets().Informer(), factory.Apps().V1().StatefulSets().Informer(),
	} {
		s.synced = append(s.synced, informer.HasSynced)
	}
	return nil
}

// registration is a handler of an informer that others use, too.
type registration struct {
	informer cache.SharedInformer
	handle   cache.ResourceEventHandlerRegistration
}

// unwatch ends what watch began.
func (s *Scheduler) unwatch() {
	for _, r := range s.handlers {
		_ = r.informer.RemoveEventHandler(r.handle) // fails only for handlers of other informers
	}
	s.slices.Stop()
}

// follow has changed called with the lock held, with the object before and after.
func follow[T any](s *Scheduler, informer cache.SharedIndexInformer, changed func(old, new *T)) error {
	handle, err := informer.AddEventHandler(handler(s, changed))
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	s.handlers = append(s.handlers, registration{informer, handle})
	s.synced = append(s.synced, handle.HasSynced)
	return nil
}

func handler[T any](s *Scheduler, changed func(old, new *T)) cache.ResourceEventHandler {
	call := func(before, after any) {
		old, _ := before.(*T)
		new, _ := after.(*T)
		s.inbox.put(func() { changed(old, new) })
		s.signal()
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { call(nil, obj) },
		UpdateFunc: call,
		DeleteFunc: func(obj any) {
			if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			call(obj, nil)
		},
	}
}

// happen lets pods that wait be tried again if the event may help them.
func (s *Scheduler) happen(event placement.Event) {
	began := s.clock.Now()
	defer func() { s.metrics.events.WithLabelValues(string(event.Cause)).Observe(s.clock.Since(began).Seconds()) }()
	s.happened++
	s.queue.Move(string(event.Cause), placement.Concerned(event.Cause), func(plugin string, pod *state.Pod) bool {
		p := s.profiles[pod.Obj.Spec.SchedulerName]
		return p == nil || p.placer.MayHelp(plugin, event, pod)
	}, s.clock.Now())
}

// live: pods that are over take nothing and want nothing.
func live(pod *corev1.Pod) bool {
	return pod != nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

func (s *Scheduler) podChanged(old, new *corev1.Pod) {
	if !live(new) {
		if new == nil {
			new = old
		}
		s.podGone(new)
		return
	}
	if new.Spec.NodeName != "" {
		s.podOnNode(new)
		return
	}
	if s.profiles[new.Spec.SchedulerName] == nil {
		return
	}
	if _, ok := s.assumed[new.UID]; ok {
		s.queue.Update(state.NewPod(new), nil, s.clock.Now()) // for the case that it is not bound
		return
	}
	if old != nil && old.UID == new.UID && old.ResourceVersion == new.ResourceVersion {
		return // a resync
	}
	pod := state.NewPod(new)
	if old != nil && old.UID != new.UID {
		s.podGone(old)
		old = nil
	}
	if old != nil && s.queue.Has(new.UID) {
		s.queue.Update(pod, func(plugin string) bool { return s.ownChangeHelps(plugin, old, pod) }, s.clock.Now())
	} else {
		now := s.clock.Now()
		s.arrivals.add(now)
		s.queue.Add(pod, now)
	}
	if new.Status.NominatedNodeName != "" || old != nil && old.Status.NominatedNodeName != "" {
		s.nominations.Set(pod, new.Status.NominatedNodeName)
	} else if node := s.nominations.Node(pod.UID()); node != "" {
		s.nominations.Set(pod, node) // not yet in the API
	}
	if old != nil && old.Status.NominatedNodeName != "" && old.Status.NominatedNodeName != new.Status.NominatedNodeName {
		s.happen(placement.Event{Cause: placement.PodDeleted, Old: pod}) // the room kept for it is free
	}
}

// ownChangeHelps tells whether a change of the pod itself may make a plugin
// accept it.
func (s *Scheduler) ownChangeHelps(plugin string, old *corev1.Pod, pod *state.Pod) bool {
	for _, cause := range ownCauses(old, pod.Obj) {
		for _, concerned := range placement.Concerned(cause) {
			if concerned == plugin {
				return true
			}
		}
	}
	return false
}

func ownCauses(old, new *corev1.Pod) []placement.Cause {
	var causes []placement.Cause
	if !equality.Semantic.DeepEqual(old.Labels, new.Labels) {
		causes = append(causes, placement.OwnLabels)
	}
	if len(old.Spec.Tolerations) != len(new.Spec.Tolerations) {
		causes = append(causes, placement.OwnTolerations)
	}
	if !equality.Semantic.DeepEqual(old.Spec.Containers, new.Spec.Containers) || !equality.Semantic.DeepEqual(old.Spec.Resources, new.Spec.Resources) {
		causes = append(causes, placement.OwnScaledDown)
	}
	if !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, new.Status.ResourceClaimStatuses) {
		causes = append(causes, placement.OwnDeviceClaims)
	}
	return causes
}

func (s *Scheduler) podOnNode(obj *corev1.Pod) {
	pod := state.NewPod(obj)
	before, node := s.cluster.Pod(obj.UID)
	_, mine := s.assumed[obj.UID]
	delete(s.assumed, obj.UID)
	s.queue.Delete(obj.UID)
	s.nominations.Delete(obj.UID)
	s.cluster.AddPod(pod, obj.Spec.NodeName)
	switch {
	case before == nil || mine || node != obj.Spec.NodeName:
		s.happen(placement.Event{Cause: placement.PodAdded, New: pod})
	case !equality.Semantic.DeepEqual(before.Obj.Labels, obj.Labels):
		s.happen(placement.Event{Cause: placement.PodLabeled, Old: before, New: pod})
	}
	if before != nil && smaller(&pod.Uses, &before.Uses) {
		s.happen(placement.Event{Cause: placement.PodScaledDown, Old: before, New: pod})
	}
}

func smaller(a, b *state.Resources) bool {
	if a.MilliCPU < b.MilliCPU || a.Memory < b.Memory || a.EphemeralStorage < b.EphemeralStorage {
		return true
	}
	for name, amount := range b.Scalar {
		if a.Scalar[name] < amount {
			return true
		}
	}
	return false
}

// podGone forgets a pod in whatever state it is.
func (s *Scheduler) podGone(obj *corev1.Pod) {
	on, _ := s.cluster.Pod(obj.UID)
	nominated := s.nominations.Node(obj.UID)
	s.cluster.RemovePod(obj.UID)
	s.queue.Delete(obj.UID)
	s.nominations.Delete(obj.UID)
	delete(s.assumed, obj.UID)
	delete(s.preempting, obj.UID)
	s.statuses.forget(obj.UID)
	switch {
	case on != nil:
		s.happen(placement.Event{Cause: placement.PodDeleted, Old: on})
	case nominated != "":
		s.happen(placement.Event{Cause: placement.PodDeleted, Old: state.NewPod(obj)})
	}
}

func (s *Scheduler) nodeChanged(old, new *corev1.Node) {
	switch {
	case new == nil:
		s.cluster.RemoveNode(old.Name)
		s.happen(placement.Event{Cause: placement.NodeDeleted, Old: old})
	case old == nil:
		s.cluster.SetNode(new)
		s.happen(placement.Event{Cause: placement.NodeAdded, New: new})
	default:
		causes := nodeCauses(old, new)
		if len(causes) == 0 && equality.Semantic.DeepEqual(old.Status.Images, new.Status.Images) && old.Spec.Unschedulable == new.Spec.Unschedulable {
			return // a heartbeat
		}
		s.cluster.SetNode(new)
		for _, cause := range causes {
			s.happen(placement.Event{Cause: cause, Old: old, New: new})
		}
	}
}

func nodeCauses(old, new *corev1.Node) []placement.Cause {
	var causes []placement.Cause
	if old.Spec.Unschedulable && !new.Spec.Unschedulable || !equality.Semantic.DeepEqual(old.Spec.Taints, new.Spec.Taints) {
		causes = append(causes, placement.NodeTainted)
	}
	if !equality.Semantic.DeepEqual(old.Status.Allocatable, new.Status.Allocatable) {
		causes = append(causes, placement.NodeAllocatable)
	}
	if !equality.Semantic.DeepEqual(old.Labels, new.Labels) {
		causes = append(causes, placement.NodeLabeled)
	}
	if !equality.Semantic.DeepEqual(old.Status.DeclaredFeatures, new.Status.DeclaredFeatures) {
		causes = append(causes, placement.NodeFeatures)
	}
	return causes
}

func (s *Scheduler) namespaceChanged(old, new *corev1.Namespace) {
	if new == nil {
		s.cluster.RemoveNamespace(old.Name)
		return
	}
	s.cluster.SetNamespace(new.Name, labels.Set(new.Labels))
}
