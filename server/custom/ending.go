package custom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/controller/finalizer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/storage"
)

// instancesTimeout is how long the finalizers of instances are waited for in
// one go.
const instancesTimeout = time.Minute

// end deletes the instances of a definition that is being deleted, and lets it
// go when there are none.
func (c *controller) end(ctx context.Context, name string) error {
	d, o := c.resources.latest(name)
	if d == nil || d.DeletionTimestamp.IsZero() || !apihelpers.CRDHasFinalizer(d.CustomResourceDefinition, apiextensionsv1.CustomResourceCleanupFinalizer) {
		return nil
	}
	crd, err := decodeDefinition(c.resources.definitions, o)
	if err != nil {
		return err
	}
	apihelpers.SetCRDCondition(crd, terminating(apiextensionsv1.ConditionTrue, "InstanceDeletionInProgress", "CustomResource deletion is in progress"))
	if crd, err = c.client.UpdateStatus(ctx, crd, metav1.UpdateOptions{}); err != nil {
		return err
	}
	switch resource := (schema.GroupResource{Group: crd.Spec.Group, Resource: crd.Spec.Names.Plural}); {
	case finalizer.OverlappingBuiltInResources()[resource]:
		apihelpers.SetCRDCondition(crd, terminating(apiextensionsv1.ConditionFalse, "OverlappingBuiltInResource", "instances overlap with built-in resources in storage"))
	case apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established):
		verdict, failure := d.deleteInstances(ctx)
		apihelpers.SetCRDCondition(crd, verdict)
		if failure != nil {
			_, err := c.client.UpdateStatus(ctx, crd, metav1.UpdateOptions{})
			return errors.Join(failure, err)
		}
	default:
		apihelpers.SetCRDCondition(crd, terminating(apiextensionsv1.ConditionFalse, "NeverEstablished", "resource was never established"))
	}
	apihelpers.CRDRemoveFinalizer(crd, apiextensionsv1.CustomResourceCleanupFinalizer)
	_, err = c.client.UpdateStatus(ctx, crd, metav1.UpdateOptions{})
	return err
}

func terminating(status apiextensionsv1.ConditionStatus, reason, message string) condition {
	return condition{Type: apiextensionsv1.Terminating, Status: status, Reason: reason, Message: message}
}

// deleteInstances deletes all instances and waits until they are gone. Admission
// has no say in it, as in upstream.
func (d *definition) deleteInstances(ctx context.Context) (condition, error) {
	failed := func(reason, what string, err error) (condition, error) {
		return terminating(apiextensionsv1.ConditionTrue, reason, fmt.Sprintf("%s: %v", what, err)), err
	}
	if d.instances == nil {
		return failed("InstanceDeletionFailed", "could not list instances", errNoInstances)
	}
	instances := d.instances.objects.Collection()
	prefix := d.instances.objects.Prefix()
	var errs []error
	for _, namespace := range d.namespaces() {
		in := request.WithNamespace(ctx, namespace)
		if _, err := d.instances.DeleteCollection(in, rest.ValidateAllObjectFunc, nil, nil); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return failed("InstanceDeletionFailed", "could not issue all deletes", err)
	}
	if err := waitEmpty(ctx, instances, prefix); err != nil {
		return failed("InstanceDeletionCheck", "could not confirm zero CustomResources remaining", err)
	}
	return terminating(apiextensionsv1.ConditionFalse, "InstanceDeletionCompleted", "removed all instances"), nil
}

// namespaces are those that have instances; "" for definitions without.
func (d *definition) namespaces() []string {
	if !d.namespaced() {
		return []string{""}
	}
	prefix := d.instances.objects.Prefix()
	var found []string
	d.instances.objects.Collection().Snapshot().Scan(prefix, "", storage.Selection{}, func(o *storage.Object) bool {
		namespace, _, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
		if len(found) == 0 || found[len(found)-1] != namespace { // they are in the order of keys
			found = append(found, namespace)
		}
		return true
	})
	return found
}

func waitEmpty(ctx context.Context, c *storage.Collection, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, instancesTimeout)
	defer cancel()
	snapshot := c.Snapshot()
	w, err := c.Watch(ctx, storage.WatchOptions{Prefix: prefix, After: snapshot.Revision})
	if err != nil {
		return err
	}
	defer w.Stop()
	for c.Any(prefix) {
		if _, err := w.Next(ctx); err != nil {
			return err
		}
	}
	return nil
}
