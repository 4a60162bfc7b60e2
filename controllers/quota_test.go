package controllers_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// limits makes amounts of resources.
func limits(amounts map[string]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, amount := range amounts {
		list[corev1.ResourceName(name)] = resource.MustParse(amount)
	}
	return list
}

// awaitUsed waits until a quota counts as wanted.
func (c *cluster) awaitUsed(namespace, name string, amounts map[string]string) {
	c.Helper()
	await(c, c.client.CoreV1().ResourceQuotas(namespace), name, func(q *corev1.ResourceQuota) bool {
		for resource, amount := range limits(amounts) {
			if used, ok := q.Status.Used[resource]; !ok || used.Cmp(amount) != 0 {
				return false
			}
		}
		return true
	})
}

func TestQuotasCount(t *testing.T) {
	c := start(t, nil, "serviceaccount", "resourcequota")
	ns := c.namespace("small")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	maps, pods, quotas := c.client.CoreV1().ConfigMaps(ns), c.client.CoreV1().Pods(ns), c.client.CoreV1().ResourceQuotas(ns)
	c.configMap(ns, "before")
	quota := func(name string, spec corev1.ResourceQuotaSpec) {
		t.Helper()
		must(quotas.Create(c.ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}))(t)
	}
	quota("counts", corev1.ResourceQuotaSpec{Hard: limits(map[string]string{"count/configmaps": "2", "count/widgets.example.org": "1", "services.nodeports": "1"})})
	quota("pods", corev1.ResourceQuotaSpec{Hard: limits(map[string]string{"pods": "3", "requests.cpu": "1", "limits.memory": "1Gi"})})
	quota("best-effort", corev1.ResourceQuotaSpec{Hard: limits(map[string]string{"pods": "2"}), Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeNotBestEffort}})
	quota("class", corev1.ResourceQuotaSpec{
		Hard: limits(map[string]string{"pods": "1"}),
		ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{"system-node-critical"}},
		}},
	})
	c.awaitUsed(ns, "counts", map[string]string{"count/configmaps": "1", "services.nodeports": "0"})
	c.awaitUsed(ns, "pods", map[string]string{"pods": "0", "requests.cpu": "0", "limits.memory": "0"})
	c.awaitUsed(ns, "best-effort", map[string]string{"pods": "0"})
	c.awaitUsed(ns, "class", map[string]string{"pods": "0"})

	// Admission counts up and refuses; this controller counts down.
	c.configMap(ns, "second")
	_, err := maps.Create(c.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "third"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: counts, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2") {
		t.Errorf("a third: %v", err)
	}
	if err := maps.Delete(c.ctx, "before", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.awaitUsed(ns, "counts", map[string]string{"count/configmaps": "1"})
	c.configMap(ns, "third")

	run := func(name, cpu string) error {
		_, err := pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "web", Resources: corev1.ResourceRequirements{Requests: limits(map[string]string{"cpu": cpu}), Limits: limits(map[string]string{"memory": "100Mi"})},
		}}}}, metav1.CreateOptions{})
		return err
	}
	if err := run("a", "600m"); err != nil {
		t.Fatal(err)
	}
	if err := run("b", "600m"); !apierrors.IsForbidden(err) {
		t.Errorf("too much CPU: %v", err)
	}
	c.awaitUsed(ns, "pods", map[string]string{"pods": "1", "requests.cpu": "600m", "limits.memory": "100Mi"})
	c.awaitUsed(ns, "best-effort", map[string]string{"pods": "1"})
	// A finished pod uses nothing.
	must(pods.Patch(c.ctx, "a", types.StrategicMergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status"))(t)
	c.awaitUsed(ns, "pods", map[string]string{"pods": "0", "requests.cpu": "0"})
	c.awaitUsed(ns, "best-effort", map[string]string{"pods": "0"})
	if err := run("b", "600m"); err != nil {
		t.Error(err)
	}
	// Another limit is counted at once.
	must(quotas.Patch(c.ctx, "pods", types.MergePatchType, []byte(`{"spec":{"hard":{"requests.memory":"1Gi"}}}`), metav1.PatchOptions{}))(t)
	c.awaitUsed(ns, "pods", map[string]string{"pods": "1", "requests.memory": "100Mi"})
}
