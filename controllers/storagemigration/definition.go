package storagemigration

import (
	"context"
	"fmt"

	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	applyv1 "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// definitionManager owns, in managedFields, what is said of a migration in a
// CustomResourceDefinition.
const definitionManager = "migration-runner-controller"

// markDefinition says of a custom resource that it is being migrated, and of
// which generation its definition is.
func (x *controller) markDefinition(ctx context.Context, m *migrationv1.StorageVersionMigration) error {
	return x.sayOfDefinition(ctx, m, func(*apiextensionsv1.CustomResourceDefinition, *applyv1.CustomResourceDefinitionStatusApplyConfiguration) *applyv1.CustomResourceDefinitionConditionApplyConfiguration {
		return applyv1.CustomResourceDefinitionCondition().WithStatus(apiextensionsv1.ConditionTrue).
			WithReason(running).WithMessage(fmt.Sprintf("Migration %s is running", m.Name))
	})
}

// unmarkDefinition says how that ended. If all objects are stored in the present
// version, and the definition hasn't changed meanwhile, no other version is
// stored any more.
func (x *controller) unmarkDefinition(ctx context.Context, m *migrationv1.StorageVersionMigration) error {
	return x.sayOfDefinition(ctx, m, func(d *apiextensionsv1.CustomResourceDefinition, status *applyv1.CustomResourceDefinitionStatusApplyConfiguration) *applyv1.CustomResourceDefinitionConditionApplyConfiguration {
		said := applyv1.CustomResourceDefinitionCondition().WithStatus(apiextensionsv1.ConditionFalse)
		if !is(m, migrationv1.MigrationSucceeded) {
			return said.WithReason("MigrationFailed").WithMessage("The migration has failed")
		}
		if !unchanged(d) {
			return said.WithReason("MigrationSucceeded").WithMessage("The migration has succeeded but the stored versions have not been updated due to a generation mismatch")
		}
		for _, version := range d.Spec.Versions {
			if version.Storage {
				status.WithStoredVersions(version.Name)
			}
		}
		return said.WithReason("MigrationSucceeded").WithMessage("The migration has succeeded and the stored versions have been updated")
	})
}

// unchanged is whether a definition is the one that was marked.
func unchanged(d *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == apiextensionsv1.StorageMigrating {
			return c.ObservedGeneration == d.Generation
		}
	}
	return false
}

// sayOfDefinition applies a condition, and what else is set in the status, to
// the definition of the migration's resource; built-in ones have none.
func (x *controller) sayOfDefinition(ctx context.Context, m *migrationv1.StorageVersionMigration, say func(*apiextensionsv1.CustomResourceDefinition, *applyv1.CustomResourceDefinitionStatusApplyConfiguration) *applyv1.CustomResourceDefinitionConditionApplyConfiguration) error {
	definitions := x.definitions.ApiextensionsV1().CustomResourceDefinitions()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d, err := definitions.Get(ctx, m.Spec.Resource.Resource+"."+m.Spec.Resource.Group, metav1.GetOptions{})
		if err != nil {
			return err
		}
		status := applyv1.CustomResourceDefinitionStatus()
		condition := say(d, status).WithType(apiextensionsv1.StorageMigrating).WithLastTransitionTime(metav1.NewTime(x.clock.Now())).WithObservedGeneration(d.Generation)
		_, err = definitions.ApplyStatus(ctx, applyv1.CustomResourceDefinition(d.Name).WithResourceVersion(d.ResourceVersion).WithStatus(status.WithConditions(condition)),
			metav1.ApplyOptions{FieldManager: definitionManager, Force: true})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
