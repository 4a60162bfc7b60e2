// Package clusterroleaggregation fills ClusterRoles that are made of others with
// the others' rules
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles).
package clusterroleaggregation

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	rbacv1apply "k8s.io/client-go/applyconfigurations/rbac/v1"
	"k8s.io/client-go/kubernetes"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"

	"github.com/howdah/howdah/controllers/reconcile"
)

type controller struct {
	client kubernetes.Interface
	roles  rbaclisters.ClusterRoleLister
}

// Setup is the clusterrole-aggregation-controller.
func Setup(c *reconcile.Controller) error {
	roles := c.Informers.Rbac().V1().ClusterRoles()
	x := &controller{client: c.Client, roles: roles.Lister()}
	queue := reconcile.NewQueue(c, "ClusterRoleAggregator", 5, x.sync)
	return c.Handle(roles.Informer(), reconcile.Each(func(*rbacv1.ClusterRole) {
		// Any role may be part of any other that aggregates; few do.
		all, err := x.roles.List(labels.Everything())
		if err != nil {
			return
		}
		for _, role := range all {
			if role.AggregationRule != nil {
				queue.Add(role.Name)
			}
		}
	}))
}

func (x *controller) sync(ctx context.Context, name string) error {
	role, err := x.roles.Get(name)
	if apierrors.IsNotFound(err) || err == nil && role.AggregationRule == nil {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := x.roles.List(labels.Everything())
	if err != nil {
		return err
	}
	rules, err := aggregate(role, all)
	if err != nil || equality.Semantic.DeepEqual(rules, role.Rules) {
		return err
	}
	apply := rbacv1apply.ClusterRole(name)
	apply.Rules = []rbacv1apply.PolicyRuleApplyConfiguration{} // none is also something to say
	for i := range rules {
		r := &rules[i]
		apply.WithRules(rbacv1apply.PolicyRule().WithAPIGroups(r.APIGroups...).WithResources(r.Resources...).
			WithResourceNames(r.ResourceNames...).WithNonResourceURLs(r.NonResourceURLs...).WithVerbs(r.Verbs...))
	}
	_, err = x.client.RbacV1().ClusterRoles().Apply(ctx, apply, metav1.ApplyOptions{FieldManager: "clusterrole-aggregation-controller", Force: true})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// aggregate is what a role's rules are to be: those of all roles that its
// selectors match, in the order of their names, each once.
func aggregate(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	all = slices.SortedFunc(slices.Values(all), func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	var rules []rbacv1.PolicyRule
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, fmt.Errorf("the ClusterRole %s has a selector that can't be used: %w", role.Name, err)
		}
		for _, part := range all {
			if part.Name == role.Name || !selector.Matches(labels.Set(part.Labels)) {
				continue
			}
			for _, rule := range part.Rules {
				if !slices.ContainsFunc(rules, func(known rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(known, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}
