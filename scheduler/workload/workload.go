// Package workload owns which pods belong together: those of the same Services
// and of the same ReplicationController, ReplicaSet or StatefulSet. Pods that
// don't say how they want to be spread are spread among these.
package workload

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/howdah/howdah/scheduler/state"
)

// Workloads looks into informers.
type Workloads struct {
	services     corelisters.ServiceLister
	controllers  corelisters.ReplicationControllerLister
	replicaSets  appslisters.ReplicaSetLister
	statefulSets appslisters.StatefulSetLister
}

// New asks the factory for the informers it needs; the caller starts them.
func New(factory informers.SharedInformerFactory) *Workloads {
	return &Workloads{
		services:     factory.Core().V1().Services().Lister(),
		controllers:  factory.Core().V1().ReplicationControllers().Lister(),
		replicaSets:  factory.Apps().V1().ReplicaSets().Lister(),
		statefulSets: factory.Apps().V1().StatefulSets().Lister(),
	}
}

// Selector is what the pod's Services and its owner select by, all of them
// together; an empty selector when it has neither.
func (w *Workloads) Selector(pod *state.Pod) labels.Selector {
	set := labels.Set{}
	for _, service := range w.servicesOf(pod.Obj) {
		set = labels.Merge(set, service.Spec.Selector)
	}
	selector := set.AsSelector()
	owner := metav1.GetControllerOfNoCopy(pod.Obj)
	if owner == nil {
		return selector
	}
	version, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return selector
	}
	var own *metav1.LabelSelector
	switch version.WithKind(owner.Kind) {
	case corev1.SchemeGroupVersion.WithKind("ReplicationController"):
		if rc, err := w.controllers.ReplicationControllers(pod.Obj.Namespace).Get(owner.Name); err == nil {
			return labels.Merge(set, rc.Spec.Selector).AsSelector()
		}
	case appsv1.SchemeGroupVersion.WithKind("ReplicaSet"):
		if rs, err := w.replicaSets.ReplicaSets(pod.Obj.Namespace).Get(owner.Name); err == nil {
			own = rs.Spec.Selector
		}
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		if ss, err := w.statefulSets.StatefulSets(pod.Obj.Namespace).Get(owner.Name); err == nil {
			own = ss.Spec.Selector
		}
	}
	if own == nil {
		return selector
	}
	if other, err := metav1.LabelSelectorAsSelector(own); err == nil {
		if requirements, ok := other.Requirements(); ok {
			selector = selector.Add(requirements...)
		}
	}
	return selector
}

func (w *Workloads) servicesOf(pod *corev1.Pod) []*corev1.Service {
	all, err := w.services.Services(pod.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	var services []*corev1.Service
	for _, service := range all {
		if service.Spec.Selector != nil && labels.Set(service.Spec.Selector).AsSelectorPreValidated().Matches(labels.Set(pod.Labels)) {
			services = append(services, service)
		}
	}
	return services
}
