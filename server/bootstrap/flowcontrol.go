package bootstrap

import (
	"context"
	"slices"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/ensurer"
)

// ensureFlowControl brings the flow schemas and priority levels of this
// release about, and deletes those of earlier releases, with upstream's rules
// for what users may change.
func (b *Bootstrap) ensureFlowControl(ctx context.Context) error {
	client := b.client.FlowcontrolV1()

	levels, err := client.PriorityLevelConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	levelOps := ensurer.NewPriorityLevelConfigurationOps(client.PriorityLevelConfigurations(),
		listed[flowcontrolv1.PriorityLevelConfiguration]{levels.Items,
			func(name string) (*flowcontrolv1.PriorityLevelConfiguration, error) {
				return client.PriorityLevelConfigurations().Get(ctx, name, metav1.GetOptions{})
			}})
	if err := ensureAll(ctx, levelOps, bootstrap.SuggestedPriorityLevelConfigurations, bootstrap.MandatoryPriorityLevelConfigurations); err != nil {
		return err
	}

	schemas, err := client.FlowSchemas().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	schemaOps := ensurer.NewFlowSchemaOps(client.FlowSchemas(),
		listed[flowcontrolv1.FlowSchema]{schemas.Items,
			func(name string) (*flowcontrolv1.FlowSchema, error) {
				return client.FlowSchemas().Get(ctx, name, metav1.GetOptions{})
			}})
	return ensureAll(ctx, schemaOps, bootstrap.SuggestedFlowSchemas, bootstrap.MandatoryFlowSchemas)
}

type configuration interface {
	*flowcontrolv1.FlowSchema | *flowcontrolv1.PriorityLevelConfiguration
	metav1.Object
	runtime.Object
}

func ensureAll[T configuration](ctx context.Context, ops ensurer.ObjectOps[T], suggested, mandatory []T) error {
	if err := ensurer.EnsureConfigurations(ctx, ops, suggested, ensurer.NewSuggestedEnsureStrategy[T]()); err != nil {
		return err
	}
	if err := ensurer.EnsureConfigurations(ctx, ops, mandatory, ensurer.NewMandatoryEnsureStrategy[T]()); err != nil {
		return err
	}
	return ensurer.RemoveUnwantedObjects(ctx, ops, slices.Concat(mandatory, suggested))
}

// listed is the lister that upstream's code reads from: one list instead of
// an informer, and the API for what is not in the list.
type listed[T any] struct {
	items []T
	get   func(name string) (*T, error)
}

func (l listed[T]) List(labels.Selector) ([]*T, error) {
	all := make([]*T, len(l.items))
	for i := range l.items {
		all[i] = &l.items[i]
	}
	return all, nil
}

func (l listed[T]) Get(name string) (*T, error) {
	for i := range l.items {
		if any(&l.items[i]).(metav1.Object).GetName() == name {
			return &l.items[i], nil
		}
	}
	return l.get(name)
}
