package resourceclaim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
)

// fieldManager owns what is written to pods' status.
const fieldManager = "ResourceClaimController"

// syncPod makes the claims that a pod lacks, and reserves those that a pod needs
// which runs without the scheduler having reserved them.
func (x *controller) syncPod(ctx context.Context, name cache.ObjectName) error {
	if !x.tracker.Fresh(name) {
		x.queue.AddAfter(key{ofPod, name}, freshness.Recheck)
		return nil
	}
	pod, err := x.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || pod.DeletionTimestamp != nil {
		return err
	}
	made := map[string]string{}
	for i := range pod.Spec.ResourceClaims {
		one := &pod.Spec.ResourceClaims[i]
		claim, err := x.ensure(ctx, pod, one)
		if err != nil {
			x.events.Event(pod, corev1.EventTypeWarning, "FailedResourceClaimCreation", fmt.Sprintf("PodResourceClaim %s: %v", one.Name, err))
			return fmt.Errorf("pod %s, PodResourceClaim %s: %w", name, one.Name, err)
		}
		if claim != nil {
			made[one.Name] = claim.Name
		}
	}
	if len(made) > 0 {
		if err := x.tellPod(ctx, pod, made); err != nil {
			return err
		}
	}
	if pod.Spec.NodeName == "" {
		return nil // the scheduler reserves
	}
	return x.reserve(ctx, pod)
}

// ensure returns the claim that the pod's status has to name from now on; nil: it
// names the right one, or none is needed.
func (x *controller) ensure(ctx context.Context, pod *corev1.Pod, one *corev1.PodResourceClaim) (*resourceapi.ResourceClaim, error) {
	name, made, err := resourceclaim.Name(pod, one)
	switch {
	case errors.Is(err, resourceclaim.ErrClaimNotFound):
	case err != nil:
		return nil, fmt.Errorf("checking for claim before creating it: %w", err)
	case name == nil:
		return nil, nil
	default:
		exists, err := x.exists(ctx, pod, *name, made)
		if err != nil {
			return nil, fmt.Errorf("checking claim existence: %w", err)
		}
		if exists {
			return nil, nil
		}
	}
	if one.ResourceClaimTemplateName == nil {
		return nil, nil // the user's to make
	}
	// One may be there that the pod was not told of.
	claims, err := owned.By[*resourceapi.ResourceClaim](x.claimed, pod)
	if err != nil {
		return nil, err
	}
	for _, claim := range claims {
		if claim.Namespace == pod.Namespace && claim.Annotations[resourceapi.PodResourceClaimAnnotation] == one.Name {
			return claim, nil
		}
	}
	template, err := x.templates.ResourceClaimTemplates(pod.Namespace).Get(*one.ResourceClaimTemplateName)
	if err != nil {
		return nil, fmt.Errorf("resource claim template %q: %w", *one.ResourceClaimTemplateName, err)
	}
	claim, err := x.client.ResourceV1().ResourceClaims(pod.Namespace).Create(ctx, claimFor(pod, one, template), metav1.CreateOptions{})
	created(err == nil, template)
	if err != nil {
		return nil, fmt.Errorf("create ResourceClaim : %w", err)
	}
	x.tracker.Wrote(cache.MetaObjectToName(pod), x.claimed.GetStore(), claim)
	return claim, nil
}

// exists tells whether the claim that the pod's status names is there and the
// pod's. What the informer doesn't have, the API is asked for.
func (x *controller) exists(ctx context.Context, pod *corev1.Pod, name string, made bool) (bool, error) {
	claim, err := x.claims.ResourceClaims(pod.Namespace).Get(name)
	if apierrors.IsNotFound(err) {
		claim, err = x.client.ResourceV1().ResourceClaims(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !made || resourceclaim.IsForPod(pod, claim, false) == nil, nil
}

// claimFor is the claim that a template describes for a pod.
func claimFor(pod *corev1.Pod, one *corev1.PodResourceClaim, template *resourceapi.ResourceClaimTemplate) *resourceapi.ResourceClaim {
	annotations := maps.Clone(template.Spec.ObjectMeta.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resourceapi.PodResourceClaimAnnotation] = one.Name
	return &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: base(pod.Name, one.Name), Annotations: annotations, Labels: template.Spec.ObjectMeta.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: new(true)}},
		},
		Spec: template.Spec.Spec,
	}
}

// base is what the names of a pod's claim begin with. Where it has to be
// shortened, so that five random characters still fit, both names are.
func base(pod, claim string) string {
	const longest = 57
	name := pod + "-" + claim + "-"
	if len(name) <= longest {
		return name
	}
	return pod[:len(pod)*longest/len(name)] + "-" + claim[:len(claim)*longest/len(name)]
}

// tellPod writes to the pod's status which claims are its own.
func (x *controller) tellPod(ctx context.Context, pod *corev1.Pod, made map[string]string) error {
	all := map[string]string{}
	for _, status := range pod.Status.ResourceClaimStatuses {
		if status.ResourceClaimName != nil {
			all[status.Name] = *status.ResourceClaimName
		}
	}
	maps.Copy(all, made)
	status := corev1apply.PodStatus()
	for _, name := range slices.SortedFunc(maps.Keys(all), strings.Compare) {
		status.WithResourceClaimStatuses(corev1apply.PodResourceClaimStatus().WithName(name).WithResourceClaimName(all[name]))
	}
	apply := corev1apply.Pod(pod.Name, pod.Namespace).WithUID(pod.UID).WithStatus(status)
	if _, err := x.client.CoreV1().Pods(pod.Namespace).ApplyStatus(ctx, apply, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return fmt.Errorf("update pod %s/%s ResourceClaimStatuses: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// reserve reserves for a pod that has a node the claims that have devices.
func (x *controller) reserve(ctx context.Context, pod *corev1.Pod) error {
	for i := range pod.Spec.ResourceClaims {
		name, made, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return err
		}
		if name == nil {
			continue
		}
		claim, err := x.claims.ResourceClaims(pod.Namespace).Get(*name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if made {
			if err := resourceclaim.IsForPod(pod, claim, false); err != nil {
				return err
			}
		}
		if claim.Status.Allocation == nil || resourceclaim.IsReservedForPod(pod, claim, false) {
			continue
		}
		claim = claim.DeepCopy()
		claim.Status.ReservedFor = append(claim.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{
			APIGroup: corev1.GroupName, Resource: "pods", Name: pod.Name, UID: pod.UID,
		})
		if _, err := x.client.ResourceV1().ResourceClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("reserve claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
	}
	return nil
}
