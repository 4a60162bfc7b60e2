package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// policyWriters is how many roles and bindings are written at once; the store
// commits them together.
const policyWriters = 16

// ensurePolicy gives the default roles and bindings what they lack. It reads
// with one list a kind what upstream reads one by one, so that a start that
// finds everything in place is quick.
func (b *Bootstrap) ensurePolicy(ctx context.Context, namespaced <-chan struct{}) error {
	rbac := b.client.RbacV1()
	p := newPolicy(ctx)

	roles, err := rbac.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	existingRoles := byName(roles.Items)
	for _, role := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		var existing reconciliation.RuleOwner
		if found := existingRoles[role.Name]; found != nil {
			existing = reconciliation.ClusterRoleRuleOwner{ClusterRole: found}
		}
		p.role(reconciliation.ClusterRoleRuleOwner{ClusterRole: &role}, existing,
			reconciliation.ClusterRoleModifier{Client: rbac.ClusterRoles()})
	}

	bindings, err := rbac.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return errors.Join(err, p.wait())
	}
	existingBindings := byName(bindings.Items)
	for _, binding := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		var existing reconciliation.RoleBinding
		if found := existingBindings[binding.Name]; found != nil {
			existing = reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: found}
		}
		p.binding(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &binding}, existing,
			reconciliation.ClusterRoleBindingClientAdapter{Client: rbac.ClusterRoleBindings()})
	}

	select {
	case <-namespaced:
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.wait())
	}
	return errors.Join(b.ensureNamespacedPolicy(ctx, p), p.wait())
}

func (b *Bootstrap) ensureNamespacedPolicy(ctx context.Context, p *policy) error {
	rbac, namespaces := b.client.RbacV1(), b.client.CoreV1().Namespaces()
	for namespace, wanted := range bootstrappolicy.NamespaceRoles() {
		roles, err := rbac.Roles(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		existingRoles := byName(roles.Items)
		for _, role := range wanted {
			var existing reconciliation.RuleOwner
			if found := existingRoles[role.Name]; found != nil {
				existing = reconciliation.RoleRuleOwner{Role: found}
			}
			p.role(reconciliation.RoleRuleOwner{Role: &role}, existing,
				reconciliation.RoleModifier{Client: rbac, NamespaceClient: namespaces})
		}
	}
	for namespace, wanted := range bootstrappolicy.NamespaceRoleBindings() {
		bindings, err := rbac.RoleBindings(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		existingBindings := byName(bindings.Items)
		for _, binding := range wanted {
			var existing reconciliation.RoleBinding
			if found := existingBindings[binding.Name]; found != nil {
				existing = reconciliation.RoleBindingAdapter{RoleBinding: found}
			}
			p.binding(reconciliation.RoleBindingAdapter{RoleBinding: &binding}, existing,
				reconciliation.RoleBindingClientAdapter{Client: rbac, NamespaceClient: namespaces})
		}
	}
	return nil
}

func byName[T any](items []T) map[string]*T {
	named := make(map[string]*T, len(items))
	for i := range items {
		named[any(&items[i]).(metav1.Object).GetName()] = &items[i]
	}
	return named
}

// policy reconciles roles and bindings concurrently. One that fails does not
// keep the others from being tried.
type policy struct {
	writers errgroup.Group
	ctx     context.Context

	mu       sync.Mutex
	failures []error
}

func newPolicy(ctx context.Context) *policy {
	p := &policy{ctx: ctx}
	p.writers.SetLimit(policyWriters)
	return p
}

func (p *policy) wait() error {
	_ = p.writers.Wait() // failures are kept
	return errors.Join(p.failures...)
}

func (p *policy) role(wanted, existing reconciliation.RuleOwner, client reconciliation.RuleOwnerModifier) {
	reconcile := &reconciliation.ReconcileRoleOptions{
		Role: wanted, Confirm: true, Client: &roleReader{RuleOwnerModifier: client, existing: existing},
	}
	p.run("role", wanted.GetNamespace(), wanted.GetName(), func() error { return second(reconcile.Run()) })
}

func (p *policy) binding(wanted, existing reconciliation.RoleBinding, client reconciliation.RoleBindingModifier) {
	reconcile := &reconciliation.ReconcileRoleBindingOptions{
		RoleBinding: wanted, Confirm: true, Client: &bindingReader{RoleBindingModifier: client, existing: existing},
	}
	p.run("binding", wanted.GetNamespace(), wanted.GetName(), func() error { return second(reconcile.Run()) })
}

func (p *policy) run(kind, namespace, name string, reconcile func() error) {
	p.writers.Go(func() error {
		if p.ctx.Err() != nil {
			return nil
		}
		err := retry.OnError(retry.DefaultBackoff, func(err error) bool {
			return apierrors.IsConflict(err) || apierrors.IsServiceUnavailable(err)
		}, reconcile)
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failures = append(p.failures, fmt.Errorf("reconcile %s %s/%s: %w", kind, namespace, name, err))
		}
		return nil
	})
}

// A roleReader answers the first read from a list, and the later ones, which
// follow a conflict, from the API.
type roleReader struct {
	reconciliation.RuleOwnerModifier
	existing reconciliation.RuleOwner // nil: not in the list
	read     bool
}

func (r *roleReader) Get(namespace, name string) (reconciliation.RuleOwner, error) {
	if r.read {
		return r.RuleOwnerModifier.Get(namespace, name)
	}
	r.read = true
	if r.existing == nil {
		return nil, apierrors.NewNotFound(rbacv1.Resource("roles"), name)
	}
	return r.existing, nil
}

// A bindingReader is a roleReader for bindings.
type bindingReader struct {
	reconciliation.RoleBindingModifier
	existing reconciliation.RoleBinding
	read     bool
}

func (r *bindingReader) Get(namespace, name string) (reconciliation.RoleBinding, error) {
	if r.read {
		return r.RoleBindingModifier.Get(namespace, name)
	}
	r.read = true
	if r.existing == nil {
		return nil, apierrors.NewNotFound(rbacv1.Resource("rolebindings"), name)
	}
	return r.existing, nil
}
