package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/pod"
)

// A set is what the two kinds have in common, with the ReplicaSet's status.
type set struct {
	pod.Owner
	replicas, minReady int32
	selector           labels.Selector
	template           *corev1.PodTemplateSpec
	status             appsv1.ReplicaSetStatus
}

// A kind is where sets come from and go to.
type kind interface {
	gvk() schema.GroupVersionKind
	get(namespace, name string) (*set, error)
	list(namespace string) ([]*set, error)
	// fresh gets the set from the server.
	fresh(ctx context.Context, namespace, name string) (*set, error)
	// updateStatus writes the status of a set, and returns it as written.
	updateStatus(ctx context.Context, s *set, status appsv1.ReplicaSetStatus) (metav1.Object, error)
	// related are the labels of the pods that count as this set's relatives when
	// pods are chosen for deletion.
	related(s *set) []labels.Selector
}

type replicaSets struct {
	client   kubernetes.Interface
	lister   appslisters.ReplicaSetLister
	informer cache.SharedIndexInformer
}

func (replicaSets) gvk() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
}

func (k replicaSets) get(namespace, name string) (*set, error) {
	return ofReplicaSet(k.lister.ReplicaSets(namespace).Get(name))
}

func (k replicaSets) list(namespace string) ([]*set, error) {
	return every(ofReplicaSet)(k.lister.ReplicaSets(namespace).List(labels.Everything()))
}

func (k replicaSets) fresh(ctx context.Context, namespace, name string) (*set, error) {
	return ofReplicaSet(k.client.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{}))
}

func (k replicaSets) updateStatus(ctx context.Context, s *set, status appsv1.ReplicaSetStatus) (metav1.Object, error) {
	changed := s.Owner.(*appsv1.ReplicaSet).DeepCopy()
	changed.Status = status
	return k.client.AppsV1().ReplicaSets(changed.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
}

func (k replicaSets) related(s *set) []labels.Selector {
	ref := metav1.GetControllerOfNoCopy(s)
	if ref == nil {
		return []labels.Selector{s.selector}
	}
	siblings, err := byDeployment(k.informer, ref)
	if err != nil {
		return []labels.Selector{s.selector}
	}
	var selectors []labels.Selector
	for _, sibling := range siblings {
		if selector, err := metav1.LabelSelectorAsSelector(sibling.Spec.Selector); err == nil {
			selectors = append(selectors, selector)
		}
	}
	return selectors
}

func ofReplicaSet(rs *appsv1.ReplicaSet, err error) (*set, error) {
	if err != nil {
		return nil, err
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, err
	}
	return &set{Owner: rs, replicas: *rs.Spec.Replicas, minReady: rs.Spec.MinReadySeconds, selector: selector, template: &rs.Spec.Template, status: rs.Status}, nil
}

type replicationControllers struct {
	client kubernetes.Interface
	lister corelisters.ReplicationControllerLister
}

func (replicationControllers) gvk() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("ReplicationController")
}

func (k replicationControllers) get(namespace, name string) (*set, error) {
	return ofReplicationController(k.lister.ReplicationControllers(namespace).Get(name))
}

func (k replicationControllers) list(namespace string) ([]*set, error) {
	return every(ofReplicationController)(k.lister.ReplicationControllers(namespace).List(labels.Everything()))
}

func (k replicationControllers) fresh(ctx context.Context, namespace, name string) (*set, error) {
	return ofReplicationController(k.client.CoreV1().ReplicationControllers(namespace).Get(ctx, name, metav1.GetOptions{}))
}

func (k replicationControllers) updateStatus(ctx context.Context, s *set, status appsv1.ReplicaSetStatus) (metav1.Object, error) {
	changed := s.Owner.(*corev1.ReplicationController).DeepCopy()
	changed.Status = corev1.ReplicationControllerStatus{
		Replicas: status.Replicas, FullyLabeledReplicas: status.FullyLabeledReplicas,
		ReadyReplicas: status.ReadyReplicas, AvailableReplicas: status.AvailableReplicas,
		ObservedGeneration: status.ObservedGeneration,
	}
	for _, c := range status.Conditions {
		changed.Status.Conditions = append(changed.Status.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return k.client.CoreV1().ReplicationControllers(changed.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
}

func (replicationControllers) related(s *set) []labels.Selector { return []labels.Selector{s.selector} }

func ofReplicationController(rc *corev1.ReplicationController, err error) (*set, error) {
	if err != nil {
		return nil, err
	}
	status := appsv1.ReplicaSetStatus{
		Replicas: rc.Status.Replicas, FullyLabeledReplicas: rc.Status.FullyLabeledReplicas,
		ReadyReplicas: rc.Status.ReadyReplicas, AvailableReplicas: rc.Status.AvailableReplicas,
		ObservedGeneration: rc.Status.ObservedGeneration,
	}
	for _, c := range rc.Status.Conditions {
		status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return &set{
		Owner: rc, replicas: *rc.Spec.Replicas, minReady: rc.Spec.MinReadySeconds,
		selector: labels.Set(rc.Spec.Selector).AsSelectorPreValidated(), template: rc.Spec.Template, status: status,
	}, nil
}

// every converts a list, leaving out what can't be.
func every[T any](convert func(T, error) (*set, error)) func([]T, error) ([]*set, error) {
	return func(objects []T, err error) ([]*set, error) {
		sets := make([]*set, 0, len(objects))
		for _, object := range objects {
			if s, err := convert(object, nil); err == nil {
				sets = append(sets, s)
			}
		}
		return sets, err
	}
}
