// Package policystatus tells, in the status of each ValidatingAdmissionPolicy,
// which of its expressions don't fit the types that it matches
// (https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking).
// The checking is k8s.io/apiserver's.
package policystatus

import (
	"context"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	admissionlisters "k8s.io/client-go/listers/admissionregistration/v1"
	"k8s.io/client-go/restmapper"

	"github.com/howdah/howdah/controllers/reconcile"
)

// manager owns the status in managedFields.
const manager = "validatingadmissionpolicy-status"

type controller struct {
	client   kubernetes.Interface
	policies admissionlisters.ValidatingAdmissionPolicyLister
	checker  *validating.TypeChecker
}

// Setup is the validatingadmissionpolicy-status-controller.
func Setup(workers int) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		policies := c.Informers.Admissionregistration().V1().ValidatingAdmissionPolicies()
		x := &controller{
			client: c.Client, policies: policies.Lister(),
			// The types are those that the server publishes.
			checker: &validating.TypeChecker{
				SchemaResolver: &resolver.ClientDiscoveryResolver{Discovery: c.Client.Discovery()},
				RestMapper:     restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery())),
			},
		}
		queue := reconcile.NewQueue(c, manager, workers, x.sync)
		return c.Handle(policies.Informer(), reconcile.Events[*admissionregistrationv1.ValidatingAdmissionPolicy]{
			Add:    func(p *admissionregistrationv1.ValidatingAdmissionPolicy) { queue.Add(p.Name) },
			Update: func(_, p *admissionregistrationv1.ValidatingAdmissionPolicy) { queue.Add(p.Name) },
		})
	}
}

func (x *controller) sync(ctx context.Context, name string) error {
	policy, err := x.policies.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || policy.Generation <= policy.Status.ObservedGeneration {
		return err
	}
	checked := applyv1.TypeChecking()
	for _, warning := range x.checker.Check(policy) {
		checked.WithExpressionWarnings(applyv1.ExpressionWarning().WithFieldRef(warning.FieldRef).WithWarning(warning.Warning))
	}
	_, err = x.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().ApplyStatus(ctx, applyv1.ValidatingAdmissionPolicy(name).WithStatus(
		applyv1.ValidatingAdmissionPolicyStatus().WithObservedGeneration(policy.Generation).WithTypeChecking(checked),
	), metav1.ApplyOptions{FieldManager: manager, Force: true})
	return err
}
