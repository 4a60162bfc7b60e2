package protection

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/utils/clock"

	claims "github.com/howdah/howdah/controllers/claim"
	pods "github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

const claimWorkers = 5

type claimGuard struct {
	guard[*corev1.PersistentVolumeClaim]
	client kubernetes.Interface
	clock  clock.PassiveClock
	lister corelisters.PersistentVolumeClaimLister
	pods   cache.SharedIndexInformer
}

// Claims is the persistentvolumeclaim-protection-controller. It also keeps the
// condition Unused of bound claims
// (https://kep.k8s.io/5541).
func Claims(c *reconcile.Controller) error {
	informer, users := c.Informers.Core().V1().PersistentVolumeClaims(), c.Informers.Core().V1().Pods().Informer()
	if err := claims.Index(users); err != nil {
		return err
	}
	g := &claimGuard{client: c.Client, clock: c.Clock, lister: informer.Lister(), pods: users}
	g.guard = guard[*corev1.PersistentVolumeClaim]{
		finalizer: "kubernetes.io/pvc-protection",
		update: func(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
			_, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
			return err
		},
		used: func(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
			return g.usedBy(ctx, claim, keeps)
		},
	}
	g.queue = reconcile.NewQueue(c, "pvcprotection", claimWorkers, g.sync)
	see := func(claim *corev1.PersistentVolumeClaim) {
		g.see(claim)
		if claim.Status.Phase == corev1.ClaimBound && unused(claim) == nil {
			g.queue.Add(cache.MetaObjectToName(claim))
		}
	}
	seePod := func(pod *corev1.Pod) {
		for _, name := range claims.Names(pod) {
			g.queue.Add(cache.ObjectName{Namespace: pod.Namespace, Name: name})
		}
	}
	return errors.Join(
		c.Handle(informer.Informer(), reconcile.Events[*corev1.PersistentVolumeClaim]{Add: see, Update: func(_, claim *corev1.PersistentVolumeClaim) { see(claim) }}),
		c.Handle(users, reconcile.Events[*corev1.Pod]{
			Add: seePod,
			Update: func(before, pod *corev1.Pod) {
				if before.UID != pod.UID {
					seePod(before)
				}
				seePod(pod)
			},
			Delete: seePod,
		}),
	)
}

func (g *claimGuard) sync(ctx context.Context, name cache.ObjectName) error {
	claim, err := g.lister.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if claim.DeletionTimestamp == nil && claim.Status.Phase == corev1.ClaimBound {
		if claim, err = g.tellUse(ctx, claim); err != nil {
			return reconcile.IgnoreNotFound(err)
		}
	}
	return g.protect(ctx, claim)
}

// usedBy asks the informer and, since what it doesn't know can be lost for ever,
// the API.
func (g *claimGuard) usedBy(ctx context.Context, claim *corev1.PersistentVolumeClaim, uses func(*corev1.Pod, *corev1.PersistentVolumeClaim) bool) (bool, error) {
	if used, err := g.knownUsed(claim, uses); err != nil || used {
		return used, err
	}
	live, err := g.client.CoreV1().Pods(claim.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("live list of pods failed: %w", err)
	}
	for i := range live.Items {
		if uses(&live.Items[i], claim) {
			return true, nil
		}
	}
	return false, nil
}

func (g *claimGuard) knownUsed(claim *corev1.PersistentVolumeClaim, uses func(*corev1.Pod, *corev1.PersistentVolumeClaim) bool) (bool, error) {
	users, err := claims.Pods(g.pods, cache.MetaObjectToName(claim))
	for _, pod := range users {
		if uses(pod, claim) {
			return true, nil
		}
	}
	return false, err
}

// keeps is whether a pod keeps a claim from being deleted: its node may have the
// volume mounted.
func keeps(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	if pod.Spec.NodeName == "" {
		return false
	}
	shutDown := pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
	return names(pod, claim, !shutDown)
}

// refers is whether a pod that isn't over refers to a claim.
func refers(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return !pods.Terminal(pod) && names(pod, claim, true)
}

func names(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim, itsOwn bool) bool {
	if pod.Namespace != claim.Namespace {
		return false
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		switch {
		case volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim.Name:
			return true
		case itsOwn && volume.Ephemeral != nil && ephemeral.VolumeClaimName(pod, volume) == claim.Name && ephemeral.VolumeIsForPod(pod, claim) == nil:
			return true
		}
	}
	return false
}

// tellUse keeps the condition Unused, which says since when no pod refers to a
// claim.
func (g *claimGuard) tellUse(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	used, err := g.knownUsed(claim, refers)
	if err != nil {
		return nil, err
	}
	condition := corev1.PersistentVolumeClaimCondition{
		Type: corev1.PersistentVolumeClaimUnused, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(g.clock.Now()),
		Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC",
	}
	if used {
		condition.Status, condition.Reason, condition.Message = corev1.ConditionFalse, "PodUsingPVC", "A pod is currently referencing this PVC"
	}
	changed := claim.DeepCopy()
	if had := unused(changed); had == nil {
		changed.Status.Conditions = append(changed.Status.Conditions, condition)
	} else if had.Status != condition.Status {
		*had = condition
	} else {
		return claim, nil
	}
	return g.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
}

func unused(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaimCondition {
	for i := range claim.Status.Conditions {
		if condition := &claim.Status.Conditions[i]; condition.Type == corev1.PersistentVolumeClaimUnused {
			return condition
		}
	}
	return nil
}
