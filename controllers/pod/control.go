package pod

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

// An Owner is what controls pods.
type Owner interface {
	runtime.Object
	metav1.Object
}

// A Control writes the pods of owners, tells of it in events on the owner, and
// notes what the informer has to learn. It is safe for concurrent use.
type Control struct {
	Client   kubernetes.Interface
	Events   record.EventRecorder
	Informer cache.SharedIndexInformer
	Tracker  *freshness.Tracker
}

// NewControl returns a Control whose events come from a component. It lets the
// pod informer find pods by their controller.
func NewControl(c *reconcile.Controller, component string) (*Control, error) {
	informer := c.Informers.Core().V1().Pods().Informer()
	if err := owned.Index(informer); err != nil {
		return nil, err
	}
	return &Control{Client: c.Client, Events: c.Recorder(component), Informer: informer, Tracker: &freshness.Tracker{}}, nil
}

// Create creates a pod of the owner. In a namespace that is going it does
// nothing, without an error.
func (c *Control) Create(ctx context.Context, owner Owner, pod *corev1.Pod) error {
	return c.create(owner, pod, func() (metav1.Object, error) {
		return c.Client.CoreV1().Pods(owner.GetNamespace()).Create(ctx, pod, metav1.CreateOptions{})
	})
}

func (c *Control) create(owner Owner, pod *corev1.Pod, ask func() (metav1.Object, error)) error {
	if len(pod.Labels) == 0 {
		return errors.New("unable to create pods, no labels")
	}
	created, err := ask()
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case err != nil:
		c.Events.Eventf(owner, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		return err
	}
	c.Tracker.Wrote(cache.MetaObjectToName(owner), c.Informer.GetStore(), created)
	c.Events.Eventf(owner, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %v", created.GetName())
	return nil
}

// Delete deletes a pod of the owner; one that is gone is no error.
func (c *Control) Delete(ctx context.Context, owner Owner, pod *corev1.Pod) error {
	err := c.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // a conflict: another pod of this name
		c.Tracker.Deleted(cache.MetaObjectToName(owner), c.Informer.GetStore(), pod)
	}
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case err != nil:
		c.Events.Eventf(owner, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		return fmt.Errorf("unable to delete pods: %w", err)
	}
	c.Events.Eventf(owner, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %v", pod.Name)
	return nil
}

// Patch patches a pod for an owner.
func (c *Control) Patch(ctx context.Context, owner metav1.Object, pod *corev1.Pod, kind types.PatchType, patch []byte) error {
	patched, err := c.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, kind, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	c.Tracker.Wrote(cache.MetaObjectToName(owner), c.Informer.GetStore(), patched)
	return nil
}

// Candidates returns the pods that the owner controls, and those that nobody
// does: what a Claim decides on.
func (c *Control) Candidates(owner metav1.Object) ([]*corev1.Pod, error) {
	pods, err := owned.By[*corev1.Pod](c.Informer, owner)
	if err != nil {
		return nil, err
	}
	orphans, err := owned.Orphans[*corev1.Pod](c.Informer, owner.GetNamespace())
	return append(pods, orphans...), err
}

// Claim is the owner's claim on pods.
func (c *Control) Claim(owner metav1.Object, kind schema.GroupVersionKind, selector labels.Selector, recheck func(context.Context) (metav1.Object, error)) *owned.Claim[*corev1.Pod] {
	return &owned.Claim[*corev1.Pod]{
		Owner: owner, Kind: kind, Selector: selector, Recheck: recheck,
		Patch: func(ctx context.Context, pod *corev1.Pod, patchType types.PatchType, patch []byte) error {
			return c.Patch(ctx, owner, pod, patchType, patch)
		},
	}
}
