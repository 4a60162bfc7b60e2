package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// finalizerEstimate is how long finalizers are taken to need.
const finalizerEstimate = 15 * time.Second

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// remains is what is left of a namespace.
type remains struct {
	estimate   time.Duration // until it may be gone; 0: nothing is left
	resources  map[schema.GroupVersionResource]int
	finalizers map[string]int // how many objects each holds
}

// empty deletes what is in the namespace and says what is left, and what went
// wrong.
func (x *controller) empty(ctx context.Context, namespace *corev1.Namespace) (*remains, *problems) {
	left := &remains{resources: map[schema.GroupVersionResource]int{}, finalizers: map[string]int{}}
	wrong := &problems{}
	lists, err := x.discover()
	wrong.discovery = err // what was discovered is deleted all the same
	deletable := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete"}}, lists)
	all, err := discovery.GroupVersionResources(deletable)
	wrong.versions = err
	can := verbs(deletable)
	if _, ok := all[pods]; ok {
		if err := x.emptyOf(ctx, pods, can[pods], namespace, left); err != nil {
			wrong.content = append(wrong.content, fmt.Errorf("failed to delete pods for namespace: %s, err: %w", namespace.Name, err))
		}
		if left.resources[pods] > 0 {
			return left, wrong
		}
		delete(all, pods)
	}
	for resource := range all {
		if err := x.emptyOf(ctx, resource, can[resource], namespace, left); err != nil {
			wrong.content = append(wrong.content, err)
		}
	}
	return left, wrong
}

func verbs(lists []*metav1.APIResourceList) map[schema.GroupVersionResource][]string {
	can := map[schema.GroupVersionResource][]string{}
	for _, list := range lists {
		if version, err := schema.ParseGroupVersion(list.GroupVersion); err == nil {
			for _, resource := range list.APIResources {
				can[version.WithResource(resource.Name)] = resource.Verbs
			}
		}
	}
	return can
}

// emptyOf deletes the objects of one resource and adds those that are left.
func (x *controller) emptyOf(ctx context.Context, resource schema.GroupVersionResource, can []string, namespace *corev1.Namespace, left *remains) error {
	if !slices.Contains(can, "list") {
		return x.deleteBlindly(ctx, resource, can, namespace.Name)
	}
	objects := x.content.Resource(resource).Namespace(namespace.Name)
	// Most resources have nothing here, and a look is cheaper than a delete.
	items, err := objects.List(ctx, metav1.ListOptions{})
	if gone(err) || err == nil && len(items.Items) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	grace := x.grace(resource, namespace)
	background := metav1.DeletePropagationBackground // orphans would only stay behind
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if slices.Contains(can, "deletecollection") {
		err = objects.DeleteCollection(ctx, options, metav1.ListOptions{})
	} else {
		for _, item := range items.Items {
			if err = objects.Delete(ctx, item.Name, options); err != nil && !gone(err) {
				break
			}
		}
	}
	if err != nil && !gone(err) {
		return err
	}
	items, err = objects.List(ctx, metav1.ListOptions{})
	if gone(err) || err == nil && len(items.Items) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	left.resources[resource] = len(items.Items)
	held := false
	for _, item := range items.Items {
		for _, finalizer := range item.Finalizers {
			left.finalizers[finalizer]++
			held = true
		}
	}
	switch {
	case held:
		left.estimate = max(left.estimate, grace, finalizerEstimate)
	case grace > 0:
		left.estimate = max(left.estimate, grace)
	default:
		return fmt.Errorf("unexpected items still remain in namespace: %s for gvr: %v", namespace.Name, resource)
	}
	return nil
}

// deleteBlindly deletes objects that can't be listed.
func (x *controller) deleteBlindly(ctx context.Context, resource schema.GroupVersionResource, can []string, namespace string) error {
	if !slices.Contains(can, "deletecollection") {
		return nil
	}
	err := x.content.Resource(resource).Namespace(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if gone(err) {
		return nil
	}
	return err
}

// gone is whether the resource, or what was asked for, isn't there.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) }

// grace is how long pods of the namespace may still take to end.
func (x *controller) grace(resource schema.GroupVersionResource, namespace *corev1.Namespace) time.Duration {
	if resource != pods {
		return 0
	}
	var longest time.Duration
	known, err := x.pods.Pods(namespace.Name).List(labels.Everything())
	if err != nil {
		return finalizerEstimate
	}
	for _, pod := range known {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed && pod.Spec.TerminationGracePeriodSeconds != nil {
			longest = max(longest, time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second)
		}
	}
	if x.clock.Since(namespace.DeletionTimestamp.Time) >= longest {
		return 0
	}
	return longest
}
