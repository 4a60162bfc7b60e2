package clusterroleaggregation

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func role(name, label string, resources ...string) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "true"}}}
	for _, resource := range resources {
		r.Rules = append(r.Rules, rbacv1.PolicyRule{Resources: []string{resource}})
	}
	return r
}

func TestAggregate(t *testing.T) {
	whole := role("whole", "x", "itself")
	whole.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{"x": "true"}}, {MatchLabels: map[string]string{"y": "true"}},
	}}
	all := []*rbacv1.ClusterRole{role("c", "y", "three", "one"), role("b", "x", "two"), whole, role("a", "x", "one"), role("d", "z", "four")}
	rules, err := aggregate(whole, all)
	var got []string
	for _, rule := range rules {
		got = append(got, rule.Resources...)
	}
	if err != nil || fmt.Sprint(got) != "[one two three]" {
		t.Errorf("%v %v", got, err)
	}
	whole.AggregationRule.ClusterRoleSelectors = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Odd"}}}}
	if _, err := aggregate(whole, all); err == nil {
		t.Error("a selector that makes no sense is accepted")
	}
}
