package rbac

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A Resolver tells upstream's checks against escalation which rules somebody
// has, and which a role has. Where decisions are content with what the engine
// was told, its answers are as of now, so that a role that was just made can be
// bound, and one that was just taken away gives nothing any more. It implements
// AuthorizationRuleResolver of k8s.io/kubernetes/pkg/registry/rbac/validation.
type Resolver struct {
	Engine *Engine
	// Sync returns the database's revision, which the cache then has.
	Sync func(context.Context) (int64, error)
}

func (r *Resolver) current(ctx context.Context) error {
	revision, err := r.Sync(ctx)
	if err != nil {
		return err
	}
	return r.Engine.Wait(ctx, revision)
}

// GetRoleReferenceRules returns the rules of the role that a binding of the
// namespace, or a cluster-wide one, refers to.
func (r *Resolver) GetRoleReferenceRules(ctx context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	if err := r.current(ctx); err != nil {
		return nil, err
	}
	key, resource := roleKey{namespace: namespace, name: ref.Name}, "roles"
	switch ref.Kind {
	case "Role":
	case "ClusterRole":
		key, resource = roleKey{cluster: true, name: ref.Name}, "clusterroles"
	default:
		return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
	}
	r.Engine.mu.RLock()
	defer r.Engine.mu.RUnlock()
	role := r.Engine.roles[key]
	if role == nil || !role.exists {
		return nil, apierrors.NewNotFound(rbacv1.Resource(resource), ref.Name)
	}
	return slices.Clone(role.policy), nil
}

// RulesFor lists the rules that the user has in all namespaces and in this one.
// With an error the list is what could be found.
func (r *Resolver) RulesFor(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	if err := r.current(ctx); err != nil {
		return nil, err
	}
	return r.Engine.policy(u, namespace)
}

// VisitRulesFor is RulesFor, a rule at a time, until visit says that it has seen
// enough. The rules don't say where they come from.
func (r *Resolver) VisitRulesFor(ctx context.Context, u user.Info, namespace string, visit func(source fmt.Stringer, rule *rbacv1.PolicyRule, err error) bool) {
	rules, err := r.RulesFor(ctx, u, namespace)
	if err != nil && !visit(nil, nil, err) {
		return
	}
	for i := range rules {
		if !visit(nil, &rules[i], nil) {
			return
		}
	}
}
