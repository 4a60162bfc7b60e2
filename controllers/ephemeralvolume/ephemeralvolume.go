// Package ephemeralvolume creates the PersistentVolumeClaims of pods' generic
// ephemeral volumes
// (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes).
package ephemeralvolume

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-helpers/storage/ephemeral"

	claims "github.com/howdah/howdah/controllers/claim"
	"github.com/howdah/howdah/controllers/reconcile"
)

type controller struct {
	client kubernetes.Interface
	events record.EventRecorder
	pods   corelisters.PodLister
	claims corelisters.PersistentVolumeClaimLister
	queue  *reconcile.Queue[cache.ObjectName]
}

// Setup is the ephemeral-volume-controller with that many workers.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		pods, informer := c.Informers.Core().V1().Pods(), c.Informers.Core().V1().PersistentVolumeClaims()
		if err := claims.Index(pods.Informer()); err != nil {
			return err
		}
		x := &controller{client: c.Client, events: c.Recorder("ephemeral_volume"), pods: pods.Lister(), claims: informer.Lister()}
		x.queue = reconcile.NewQueue(c, "ephemeral_volume", workers, x.sync)
		return errors.Join(
			// What a pod's volumes are never changes.
			c.Handle(pods.Informer(), reconcile.Events[*corev1.Pod]{Add: x.enqueue}),
			c.Handle(informer.Informer(), reconcile.Events[*corev1.PersistentVolumeClaim]{Delete: func(claim *corev1.PersistentVolumeClaim) {
				users, err := claims.Pods(pods.Informer(), cache.MetaObjectToName(claim))
				if err != nil {
					return // the index is there
				}
				for _, pod := range users {
					x.enqueue(pod)
				}
			}}),
		)
	}
}

func (x *controller) enqueue(pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Ephemeral != nil && pod.DeletionTimestamp == nil {
			x.queue.Add(cache.MetaObjectToName(pod))
			return
		}
	}
}

func (x *controller) sync(ctx context.Context, name cache.ObjectName) error {
	pod, err := x.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || pod.DeletionTimestamp != nil {
		return err
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.Ephemeral == nil {
			continue
		}
		if err := x.ensure(ctx, pod, volume); err != nil {
			x.events.Event(pod, corev1.EventTypeWarning, "FailedBinding", fmt.Sprintf("ephemeral volume %s: %v", volume.Name, err))
			return fmt.Errorf("pod %s, ephemeral volume %s: %w", name, volume.Name, err)
		}
	}
	return nil
}

// ensure creates a volume's claim if there is none.
func (x *controller) ensure(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume) error {
	name := ephemeral.VolumeClaimName(pod, volume)
	claim, err := x.claims.PersistentVolumeClaims(pod.Namespace).Get(name)
	if err == nil {
		return ephemeral.VolumeIsForPod(pod, claim)
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	template := volume.Ephemeral.VolumeClaimTemplate
	created.Inc()
	_, err = x.client.CoreV1().PersistentVolumeClaims(pod.Namespace).Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pod, corev1.SchemeGroupVersion.WithKind("Pod"))},
		},
		Spec: template.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		failed.Inc()
		return fmt.Errorf("create PVC %s: %w", name, err)
	}
	return nil
}

var (
	created = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "ephemeral_volume_controller",
		Name:           "create_total",
		Help:           "Number of PersistentVolumeClaim creation requests",
		StabilityLevel: metrics.ALPHA,
	})
	failed = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "ephemeral_volume_controller",
		Name:           "create_failures_total",
		Help:           "Number of PersistentVolumeClaim creation requests",
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(created, failed) })
)
