// Package storagemigration carries out StorageVersionMigrations: it writes every
// object of a resource once, without a change, so that what is stored has the
// present version and the present encryption
// (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/).
package storagemigration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	migrationlisters "k8s.io/client-go/listers/storagemigration/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	workers = 5   // resources at a time
	page    = 500 // objects that are listed at once
	// patience is how long a migration's resource may not be served: its
	// definition may have been made just before.
	patience = time.Minute

	manager   = "storage-version-migrator-controller"
	running   = "MigrationRunning"
	succeeded = "StorageVersionMigrationSucceeded"
	failed    = "StorageVersionMigrationFailed"
)

type controller struct {
	client      kubernetes.Interface
	metadata    metadata.Interface
	definitions clientset.Interface
	mapper      meta.ResettableRESTMapper
	clock       clock.PassiveClock
	migrations  migrationlisters.StorageVersionMigrationLister
}

// Setup is the storage-version-migrator-controller. Of the migrations of one
// resource it carries out one at a time, the eldest first.
func Setup(c *reconcile.Controller) error {
	definitions, err := clientset.NewForConfig(c.Config)
	if err != nil {
		return fmt.Errorf("make a client for definitions: %w", err)
	}
	migrations := c.Informers.Storagemigration().V1().StorageVersionMigrations()
	x := &controller{
		client: c.Client, metadata: c.Metadata, definitions: definitions, clock: c.Clock, migrations: migrations.Lister(),
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery())),
	}
	queue := reconcile.NewQueue(c, "storage-version-migrator-controller", workers, x.sync)
	return c.Handle(migrations.Informer(), reconcile.Each(func(m *migrationv1.StorageVersionMigration) { queue.Add(m.Spec.Resource) }))
}

func is(m *migrationv1.StorageVersionMigration, kind migrationv1.MigrationConditionType) bool {
	return meta.IsStatusConditionTrue(m.Status.Conditions, string(kind))
}

func ended(m *migrationv1.StorageVersionMigration) bool {
	return is(m, migrationv1.MigrationSucceeded) || is(m, migrationv1.MigrationFailed)
}

// next decides what to do: which migrations, that ended, no longer run, and which
// one is carried out, or none.
func next(all []*migrationv1.StorageVersionMigration, resource metav1.GroupResource) (over []*migrationv1.StorageVersionMigration, now *migrationv1.StorageVersionMigration) {
	better := func(a, b *migrationv1.StorageVersionMigration) bool {
		if b == nil || is(a, migrationv1.MigrationRunning) != is(b, migrationv1.MigrationRunning) {
			return b == nil || is(a, migrationv1.MigrationRunning)
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
	}
	for _, m := range all {
		switch {
		case m.Spec.Resource != resource:
		case ended(m) && is(m, migrationv1.MigrationRunning):
			over = append(over, m)
		case !ended(m) && better(m, now):
			now = m
		}
	}
	return over, now
}

func (x *controller) sync(ctx context.Context, resource metav1.GroupResource) error {
	all, err := x.migrations.List(labels.Everything())
	if err != nil {
		return err
	}
	over, now := next(all, resource)
	for _, m := range over {
		if err := x.finish(ctx, m.DeepCopy()); err != nil {
			return err
		}
	}
	if now == nil {
		return nil
	}
	now = now.DeepCopy()
	versioned, known, err := x.resource(resource)
	switch {
	case err != nil:
		return err
	case !known && x.clock.Since(now.CreationTimestamp.Time) < patience:
		return fmt.Errorf("%s is not served yet", schema.GroupResource{Group: resource.Group, Resource: resource.Resource})
	case !known:
		return x.fail(ctx, now, "", errors.New("unable to obtain GVR from discovery"))
	}
	if !is(now, migrationv1.MigrationRunning) || now.Status.ResourceVersion == "" {
		return x.begin(ctx, now, versioned) // goes on with the event of this
	}
	return x.migrate(ctx, now, versioned)
}

// resource finds the version in which a resource is served.
func (x *controller) resource(resource metav1.GroupResource) (schema.GroupVersionResource, bool, error) {
	versioned, err := x.mapper.ResourceFor(schema.GroupVersionResource{Group: resource.Group, Resource: resource.Resource})
	if meta.IsNoMatchError(err) {
		return versioned, false, nil
	}
	return versioned, err == nil, err
}

// begin notes at which version the resource is now. What changes later is stored
// as it should be already.
func (x *controller) begin(ctx context.Context, m *migrationv1.StorageVersionMigration, resource schema.GroupVersionResource) error {
	if err := x.markDefinition(ctx, m); err != nil {
		return err
	}
	if m.Status.ResourceVersion == "" {
		list, err := x.metadata.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return fmt.Errorf("find out the version of %s: %w", resource.GroupResource(), err)
		}
		m.Status.ResourceVersion = list.ResourceVersion
	}
	x.set(m, migrationv1.MigrationRunning, metav1.ConditionTrue, running, "The migration is running")
	return x.write(ctx, m)
}

func (x *controller) migrate(ctx context.Context, m *migrationv1.StorageVersionMigration, resource schema.GroupVersionResource) error {
	total := 0
	options := metav1.ListOptions{Limit: page}
	for {
		list, err := x.metadata.Resource(resource).List(ctx, options)
		if apierrors.IsResourceExpired(err) { // too slow a page: from the start, what was written is newer now
			options.Continue, total = "", 0
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", resource.GroupResource(), err)
		}
		total += len(list.Items)
		for i := range list.Items {
			err := x.touch(ctx, resource, &list.Items[i], m.Status.ResourceVersion)
			if retriable(err) {
				return err
			}
			if err != nil {
				return x.fail(ctx, m, fmt.Sprintf("%s/%s not migrated. ", list.Items[i].Namespace, list.Items[i].Name), err)
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			break
		}
	}
	message := "The migration is running"
	if total > 0 {
		message += fmt.Sprintf(", %d objects verified migrated", total)
	}
	x.set(m, migrationv1.MigrationRunning, metav1.ConditionTrue, running, message)
	x.set(m, migrationv1.MigrationSucceeded, metav1.ConditionTrue, succeeded, "Migration completed")
	return x.write(ctx, m)
}

// touch writes an object without a change, unless it has been written since the
// migration began.
func (x *controller) touch(ctx context.Context, resource schema.GroupVersionResource, object *metav1.PartialObjectMetadata, since string) error {
	order, err := resourceversion.CompareResourceVersion(object.ResourceVersion, since)
	if err != nil {
		return fmt.Errorf("compare versions: %w", err)
	}
	if order > 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": object.UID, "resourceVersion": object.ResourceVersion}})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	_, err = x.metadata.Resource(resource).Namespace(object.Namespace).Patch(ctx, object.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // somebody wrote or deleted it
	}
	return err
}

func retriable(err error) bool {
	return err != nil && (utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) || utilnet.IsProbableEOF(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || apierrors.IsTimeout(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

func (x *controller) fail(ctx context.Context, m *migrationv1.StorageVersionMigration, what string, err error) error {
	x.set(m, migrationv1.MigrationFailed, metav1.ConditionTrue, failed, fmt.Sprintf("%smigration encountered unhandled error: %s", what, err))
	return x.write(ctx, m)
}

// finish ends the run of a migration that succeeded or failed.
func (x *controller) finish(ctx context.Context, m *migrationv1.StorageVersionMigration) error {
	if err := x.unmarkDefinition(ctx, m); err != nil {
		return err
	}
	x.set(m, migrationv1.MigrationRunning, metav1.ConditionFalse, "MigrationCompleted", "Migration completed")
	return x.write(ctx, m)
}

func (x *controller) set(m *migrationv1.StorageVersionMigration, kind migrationv1.MigrationConditionType, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{
		Type: string(kind), Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(x.clock.Now()), ObservedGeneration: m.Generation,
	})
}

func (x *controller) write(ctx context.Context, m *migrationv1.StorageVersionMigration) error {
	_, err := x.client.StoragemigrationV1().StorageVersionMigrations().UpdateStatus(ctx, m, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
