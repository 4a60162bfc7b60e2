package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// condition finds a namespace's condition.
func condition(n *corev1.Namespace, kind corev1.NamespaceConditionType) corev1.NamespaceCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.NamespaceCondition{}
}

func (c *cluster) configMap(namespace, name string, change ...func(*metav1.ObjectMeta)) *corev1.ConfigMap {
	c.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, change := range change {
		change(&object.ObjectMeta)
	}
	return must(c.client.CoreV1().ConfigMaps(namespace).Create(c.ctx, object, metav1.CreateOptions{}))(c)
}

// ownedBy makes the ConfigMap the owner.
func ownedBy(owners ...*corev1.ConfigMap) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		block := true
		for _, owner := range owners {
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: &block})
		}
	}
}

func finalizer(name string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) { m.Finalizers = append(m.Finalizers, name) }
}

func TestNamespaceGoesWithItsContent(t *testing.T) {
	c := start(t, nil)
	namespace := c.namespace("full")
	must(c.client.CoreV1().Secrets(namespace).Create(c.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, metav1.CreateOptions{}))(t)
	must(c.client.CoreV1().Services(namespace).Create(c.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}))(t)
	c.configMap(namespace, "held", finalizer("example.org/hold"))
	await(c, c.client.CoreV1().ServiceAccounts(namespace), "default", func(*corev1.ServiceAccount) bool { return true })
	if err := c.client.CoreV1().Namespaces().Delete(c.ctx, namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	left := await(c, c.client.CoreV1().Namespaces(), namespace, func(n *corev1.Namespace) bool {
		return condition(n, corev1.NamespaceFinalizersRemaining).Status == corev1.ConditionTrue
	})
	for kind, want := range map[corev1.NamespaceConditionType]string{
		corev1.NamespaceFinalizersRemaining:      "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances",
		corev1.NamespaceContentRemaining:         "Some resources are remaining: configmaps. has 1 resource instances",
		corev1.NamespaceDeletionDiscoveryFailure: "All resources successfully discovered",
	} {
		if got := condition(left, kind).Message; got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	must(c.client.CoreV1().ConfigMaps(namespace).Patch(c.ctx, "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	awaitGone(c, c.client.CoreV1().Namespaces(), namespace)
}

func TestGarbage(t *testing.T) {
	c := start(t, nil, "garbagecollector")
	maps := c.client.CoreV1().ConfigMaps("default")
	remove := func(name string, policy metav1.DeletionPropagation) {
		t.Helper()
		if err := maps.Delete(c.ctx, name, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("background", func(t *testing.T) {
		owner := c.configMap("default", "b-owner")
		middle := c.configMap("default", "b-middle", ownedBy(owner))
		c.configMap("default", "b-last", ownedBy(middle))
		remove("b-owner", metav1.DeletePropagationBackground)
		awaitGone(c, maps, "b-last")
	})
	t.Run("foreground", func(t *testing.T) {
		owner := c.configMap("default", "f-owner")
		c.configMap("default", "f-held", ownedBy(owner), finalizer("example.org/hold"))
		c.configMap("default", "f-free", ownedBy(owner))
		remove("f-owner", metav1.DeletePropagationForeground)
		awaitGone(c, maps, "f-free")
		await(c, maps, "f-held", func(m *corev1.ConfigMap) bool { return m.DeletionTimestamp != nil })
		if got := must(maps.Get(c.ctx, "f-owner", metav1.GetOptions{}))(t); len(got.Finalizers) != 1 {
			t.Errorf("the owner went before its dependent: %v", got.Finalizers)
		}
		must(maps.Patch(c.ctx, "f-held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
		awaitGone(c, maps, "f-owner")
	})
	t.Run("orphan", func(t *testing.T) {
		owner := c.configMap("default", "o-owner")
		c.configMap("default", "o-child", ownedBy(owner))
		remove("o-owner", metav1.DeletePropagationOrphan)
		awaitGone(c, maps, "o-owner")
		if child := must(maps.Get(c.ctx, "o-child", metav1.GetOptions{}))(t); len(child.OwnerReferences) != 0 || child.DeletionTimestamp != nil {
			t.Errorf("%+v", child)
		}
	})
	t.Run("one of two owners", func(t *testing.T) {
		first, second := c.configMap("default", "t-first"), c.configMap("default", "t-second")
		c.configMap("default", "t-child", ownedBy(first, second))
		remove("t-first", metav1.DeletePropagationBackground)
		await(c, maps, "t-child", func(m *corev1.ConfigMap) bool {
			return len(m.OwnerReferences) == 1 && m.OwnerReferences[0].UID == second.UID
		})
		remove("t-second", metav1.DeletePropagationForeground)
		awaitGone(c, maps, "t-child")
		awaitGone(c, maps, "t-second")
	})
	t.Run("circle", func(t *testing.T) {
		a := c.configMap("default", "c-a")
		b := c.configMap("default", "c-b", ownedBy(a))
		references := must(maps.Get(c.ctx, "c-a", metav1.GetOptions{}))(t)
		ownedBy(b)(&references.ObjectMeta)
		must(maps.Update(c.ctx, references, metav1.UpdateOptions{}))(t)
		remove("c-a", metav1.DeletePropagationForeground)
		awaitGone(c, maps, "c-a")
		awaitGone(c, maps, "c-b")
	})
	t.Run("owner that never was", func(t *testing.T) {
		c.configMap("default", "n-child", ownedBy(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "never", UID: "11111111-2222-3333-4444-555555555555"}}))
		awaitGone(c, maps, "n-child")
	})
	t.Run("owner in another namespace", func(t *testing.T) {
		other := c.namespace("other")
		owner := c.configMap(other, "w-owner")
		c.configMap("default", "w-child", ownedBy(owner))
		awaitGone(c, maps, "w-child")
		if _, err := c.client.CoreV1().ConfigMaps(other).Get(c.ctx, "w-owner", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		events := must(c.client.CoreV1().Events("default").Watch(c.ctx, metav1.ListOptions{FieldSelector: "reason=OwnerRefInvalidNamespace"}))(t)
		defer events.Stop()
		if event := (<-events.ResultChan()).Object.(*corev1.Event); !strings.Contains(event.Message, `does not exist in namespace "default"`) || event.Source.Component != "garbage-collector-controller" {
			t.Errorf("%+v", event)
		}
	})
	t.Run("owner of a later kind keeps its dependents", func(t *testing.T) {
		// Nothing serves this kind; the dependent must stay.
		c.configMap("default", "l-child", func(m *metav1.ObjectMeta) {
			m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.org/v1", Kind: "Widget", Name: "w", UID: "1"}}
		})
		owner := c.configMap("default", "l-owner")
		c.configMap("default", "l-other", ownedBy(owner))
		remove("l-owner", metav1.DeletePropagationBackground)
		awaitGone(c, maps, "l-other")
		if _, err := maps.Get(c.ctx, "l-child", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("many", func(t *testing.T) {
		owner := c.configMap("default", "m-owner")
		for i := range 200 {
			c.configMap("default", fmt.Sprintf("m-%d", i), ownedBy(owner))
		}
		remove("m-owner", metav1.DeletePropagationForeground)
		awaitGone(c, maps, "m-owner")
		if _, err := maps.Get(c.ctx, "m-0", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}
