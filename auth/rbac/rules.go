package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

var _ authorizer.RuleResolver = (*Engine)(nil)

// RulesFor lists what the user may do in all namespaces and in this one. With an
// error that names roles that don't exist the list still holds.
func (e *Engine) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var (
		resources []authorizer.ResourceRuleInfo
		paths     []authorizer.NonResourceRuleInfo
	)
	rules, err := e.policy(u, namespace)
	for i := range rules {
		r := &rules[i]
		if len(r.Resources) > 0 {
			resources = append(resources, &authorizer.DefaultResourceRuleInfo{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			paths = append(paths, &authorizer.DefaultNonResourceRuleInfo{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	return resources, paths, false, err
}

// policy is the rules of each role that the user has, once.
func (e *Engine) policy(u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var rules []rbacv1.PolicyRule
	seen := map[*role]bool{}
	e.granted(u, namespace, func(g grant) {
		if g.role != nil && !seen[g.role] {
			seen[g.role] = true
			rules = append(rules, g.role.policy...)
		}
	})
	return rules, utilerrors.NewAggregate(e.broken(u, namespace))
}
