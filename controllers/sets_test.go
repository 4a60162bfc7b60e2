package controllers_test

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func TestStatefulSets(t *testing.T) {
	c := start(t, nil, "serviceaccount", "statefulset", "disruption")
	c.workers()
	ns := c.namespace("stateful")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	sets, pods, claims := c.client.AppsV1().StatefulSets(ns), c.client.CoreV1().Pods(ns), c.client.CoreV1().PersistentVolumeClaims(ns)
	must(sets.Create(c.ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](3), Selector: appSelector("db"), Template: podTemplate("db", "ready:1"), ServiceName: "db",
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				},
			}},
		},
	}, metav1.CreateOptions{}))(t)
	rolled := func(replicas, updated int32) *appsv1.StatefulSet {
		t.Helper()
		return await(c, sets, "db", func(s *appsv1.StatefulSet) bool {
			return s.Status.ObservedGeneration == s.Generation && s.Status.Replicas == replicas && s.Status.AvailableReplicas == replicas && s.Status.UpdatedReplicas == updated
		})
	}
	image := func(ordinal int) string {
		return must(pods.Get(c.ctx, fmt.Sprint("db-", ordinal), metav1.GetOptions{}))(t).Spec.Containers[0].Image
	}
	set := func(patch string) {
		t.Helper()
		must(sets.Patch(c.ctx, "db", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
	}
	first := rolled(3, 3)
	must(c.client.PolicyV1().PodDisruptionBudgets(ns).Create(c.ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: appSelector("db"), MaxUnavailable: ptr.To(intstr.FromInt32(1))},
	}, metav1.CreateOptions{}))(t)
	await(c, c.client.PolicyV1().PodDisruptionBudgets(ns), "db", func(b *policyv1.PodDisruptionBudget) bool {
		return b.Status.ExpectedPods == 3 && b.Status.DesiredHealthy == 2 && b.Status.DisruptionsAllowed == 1
	})
	for i := range 3 {
		name := fmt.Sprint("data-db-", i)
		await(c, claims, name, func(claim *corev1.PersistentVolumeClaim) bool { return metav1.IsControlledBy(claim, first) })
	}

	// By partition.
	set(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}},"template":{"spec":{"containers":[{"name":"main","image":"ready:2"}]}}}}`)
	rolled(3, 1)
	if got := image(0) + " " + image(1) + " " + image(2); got != "ready:1 ready:1 ready:2" {
		t.Errorf("with a partition of 2: %s", got)
	}
	set(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}`)
	if s := rolled(3, 3); s.Status.CurrentRevision != s.Status.UpdateRevision || s.Status.CurrentRevision == first.Status.CurrentRevision {
		t.Errorf("revisions %+v", s.Status)
	}
	set(`{"spec":{"replicas":1}}`)
	rolled(1, 1)
	awaitGone(c, pods, "db-1")
	set(`{"spec":{"replicas":4,"podManagementPolicy":null}}`)
	rolled(4, 4)
	c.awaitEvent(ns, "db", "SuccessfulCreate")
}

func TestDaemonSets(t *testing.T) {
	c := start(t, nil, "serviceaccount", "daemonset")
	c.workers()
	ns := c.namespace("daemons")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	nodes, sets := c.client.CoreV1().Nodes(), c.client.AppsV1().DaemonSets(ns)
	add := func(name string) {
		t.Helper()
		node := must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": "ssd"}}}, metav1.CreateOptions{}))(t)
		node.Spec.Taints = nil // admission's, until the node is ready
		must(nodes.Update(c.ctx, node, metav1.UpdateOptions{}))(t)
	}
	template := podTemplate("agent", "ready:1")
	template.Spec.NodeSelector = map[string]string{"disk": "ssd"}
	for i := range 3 {
		add(fmt.Sprint("node-", i))
	}
	must(sets.Create(c.ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: appSelector("agent"), Template: template}}, metav1.CreateOptions{}))(t)
	runs := func(desired, updated int32) {
		t.Helper()
		await(c, sets, "agent", func(ds *appsv1.DaemonSet) bool {
			s := ds.Status
			return s.ObservedGeneration == ds.Generation && s.DesiredNumberScheduled == desired && s.NumberAvailable == desired && s.UpdatedNumberScheduled == updated && s.NumberMisscheduled == 0
		})
	}
	runs(3, 3)
	add("node-3")
	runs(4, 4)
	must(sets.Patch(c.ctx, "agent", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"ready:2"}]}}}}`), metav1.PatchOptions{}))(t)
	runs(4, 4)
	must(sets.Patch(c.ctx, "agent", types.StrategicMergePatchType, []byte(`{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":1,"maxUnavailable":0}},"template":{"spec":{"containers":[{"name":"main","image":"ready:3"}]}}}}`), metav1.PatchOptions{}))(t)
	runs(4, 4)
	must(nodes.Patch(c.ctx, "node-0", types.MergePatchType, []byte(`{"metadata":{"labels":{"disk":"rust"}}}`), metav1.PatchOptions{}))(t)
	runs(3, 3)
	revisions := must(c.client.AppsV1().ControllerRevisions(ns).List(c.ctx, metav1.ListOptions{}))(t)
	if len(revisions.Items) != 3 {
		t.Errorf("%d revisions", len(revisions.Items))
	}
}

func TestCronJobs(t *testing.T) {
	c := start(t, nil, "serviceaccount", "cronjob", "job")
	c.workers()
	ns := c.namespace("crons")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	template := podTemplate("tick", "done")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	must(c.client.BatchV1().CronJobs(ns).Create(c.ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "tick"},
		Spec: batchv1.CronJobSpec{
			Schedule: "@every 3s", SuccessfulJobsHistoryLimit: ptr.To[int32](0), ConcurrencyPolicy: batchv1.ForbidConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
		},
	}, metav1.CreateOptions{}))(t)
	await(c, c.client.BatchV1().CronJobs(ns), "tick", func(j *batchv1.CronJob) bool { return j.Status.LastSuccessfulTime != nil && len(j.Status.Active) == 0 })
	for _, reason := range []string{"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"} {
		c.awaitEvent(ns, "tick", reason)
	}
}
