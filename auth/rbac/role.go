package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A roleKey names a Role, or a ClusterRole.
type roleKey struct {
	cluster         bool
	namespace, name string
}

// A role is there when it exists or when a binding refers to it.
type role struct {
	key    roleKey
	exists bool
	held   int // how many bindings refer to it

	rules     []rule
	policy    []rbacv1.PolicyRule // the same, for those who ask which rules there are
	verbs     sketch              // of all rules
	resources sketch
	paths     bool // some rule has non-resource paths
}

func (r *role) set(rules []rbacv1.PolicyRule) {
	r.exists = true
	r.rules, r.policy = make([]rule, len(rules)), make([]rbacv1.PolicyRule, len(rules))
	r.verbs, r.resources, r.paths = 0, 0, false
	for i := range rules {
		compiled := newRule(rules[i])
		r.rules[i], r.policy[i] = compiled, compiled.PolicyRule
		r.verbs |= compiled.verbs
		r.resources |= compiled.resources
		r.paths = r.paths || len(compiled.NonResourceURLs) > 0
	}
}

func (r *role) allows(q *request) bool {
	if !r.verbs.mayHave(q.verbs) || q.onResource && !r.resources.mayHave(q.resources) || !q.onResource && !r.paths {
		return false
	}
	for i := range r.rules {
		if r.rules[i].allows(q) {
			return true
		}
	}
	return false
}

// missing is the error of those to whom a role is bound that does not exist.
func (k roleKey) missing() error {
	kind := "role"
	if k.cluster {
		kind = "clusterrole"
	}
	return apierrors.NewNotFound(rbacv1.Resource(kind), k.name)
}
