package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// workers is what runs pods in these tests: it binds each to a node, makes it
// what image asks for ("ready", "broken", "done", "failed") and ends those that
// are deleted. It keeps the extremes of how many pods there were.
type workers struct {
	c  *cluster
	mu sync.Mutex
	// Of the pods that are not being deleted and not at their end.
	pods map[types.UID]*corev1.Pod
	most int
	// least counts ready pods, from the moment watched is called.
	least   int
	watched bool
}

func (c *cluster) workers() *workers {
	c.Helper()
	w := &workers{c: c, pods: map[types.UID]*corev1.Pod{}}
	factory := informers.NewSharedInformerFactory(c.client, 0)
	must(factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { w.see(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if p, ok := o.(*corev1.Pod); ok {
				w.count(p, true)
			}
		},
	}))(c)
	factory.Start(c.ctx.Done())
	c.Cleanup(factory.Shutdown)
	return w
}

func (w *workers) see(p *corev1.Pod) {
	w.count(p, false)
	pods := w.c.client.CoreV1().Pods(p.Namespace)
	var err error
	switch {
	case p.DeletionTimestamp != nil:
		err = pods.Delete(w.c.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	case p.Spec.NodeName == "":
		err = pods.Bind(w.c.ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: target(p)}}, metav1.CreateOptions{})
	case p.Status.Phase == corev1.PodPending:
		p = p.DeepCopy()
		ready := corev1.ConditionFalse
		switch image := p.Spec.Containers[0].Image; {
		case strings.HasPrefix(image, "done"):
			p.Status.Phase = corev1.PodSucceeded
		case strings.HasPrefix(image, "failed"):
			p.Status.Phase = corev1.PodFailed
		case strings.HasPrefix(image, "broken"):
			p.Status.Phase = corev1.PodRunning
		default:
			p.Status.Phase, ready = corev1.PodRunning, corev1.ConditionTrue
		}
		p.Status.StartTime = ptr.To(metav1.Now())
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()})
		_, err = pods.UpdateStatus(w.c.ctx, p, metav1.UpdateOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && w.c.ctx.Err() == nil {
		w.c.Errorf("run the pod %s: %v", p.Name, err)
	}
}

// target is the node that a DaemonSet's pod asks for, or any.
func target(p *corev1.Pod) string {
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, field := range term.MatchFields {
				return field.Values[0]
			}
		}
	}
	return "worker"
}

func (w *workers) count(p *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if gone || p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		delete(w.pods, p.UID)
	} else {
		w.pods[p.UID] = p
	}
	w.most = max(w.most, len(w.pods))
	if w.watched {
		w.least = min(w.least, w.ready())
	}
}

func (w *workers) ready() (n int) {
	for _, p := range w.pods {
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			n++
		}
	}
	return n
}

// from starts to keep extremes.
func (w *workers) from(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched, w.most, w.least = true, n, n
}

func (w *workers) extremes() (most, least int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most, w.least
}

func podTemplate(app, image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
	}
}

func appSelector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// awaitEvent waits for an event about an object.
func (c *cluster) awaitEvent(namespace, name, reason string) *corev1.Event {
	c.Helper()
	watcher := must(c.client.CoreV1().Events(namespace).Watch(c.ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name + ",reason=" + reason}))(c)
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if e, ok := event.Object.(*corev1.Event); ok {
			return e
		}
	}
	c.Fatalf("no event %s of %s", reason, name)
	return nil
}

func TestDeployments(t *testing.T) {
	c := start(t, nil, "serviceaccount", "deployment", "replicaset")
	w := c.workers()
	ns := c.namespace("rolling")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	deployments := c.client.AppsV1().Deployments(ns)
	must(deployments.Create(c.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](6), Selector: appSelector("web"), Template: podTemplate("web", "ready:1"), RevisionHistoryLimit: ptr.To[int32](2),
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt32(2)), MaxUnavailable: ptr.To(intstr.FromInt32(1))}},
		},
	}, metav1.CreateOptions{}))(t)
	rolled := func(revision string) *appsv1.Deployment {
		t.Helper()
		return await(c, deployments, "web", func(d *appsv1.Deployment) bool {
			s := d.Status
			return s.ObservedGeneration == d.Generation && d.Annotations["deployment.kubernetes.io/revision"] == revision &&
				s.UpdatedReplicas == *d.Spec.Replicas && s.Replicas == *d.Spec.Replicas && s.AvailableReplicas == *d.Spec.Replicas &&
				slices.ContainsFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Reason == "NewReplicaSetAvailable" })
		})
	}
	set := func(patch string) {
		t.Helper()
		must(deployments.Patch(c.ctx, "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
	}
	image := func(name string) {
		t.Helper()
		set(fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, name))
	}
	rolled("1")
	if e := c.awaitEvent(ns, "web", "ScalingReplicaSet"); !strings.HasPrefix(e.Message, "Scaled up replica set web-") || !strings.HasSuffix(e.Message, " from 0 to 6") || e.Source.Component != "deployment-controller" {
		t.Errorf("event %+v", e)
	}

	w.from(6)
	image("ready:2")
	rolled("2")
	if most, least := w.extremes(); most > 8 || least < 5 {
		t.Errorf("a rollout of 6 with surge 2 and 1 unavailable had %d pods, and %d ready", most, least)
	}

	// A broken image stops the rollout where the strategy says, and undoing it
	// takes the old ReplicaSet again.
	w.from(6)
	image("broken:3")
	await(c, deployments, "web", func(d *appsv1.Deployment) bool {
		return d.Status.UpdatedReplicas == 3 && d.Status.AvailableReplicas == 5 && d.Status.Replicas == 8
	})
	set(`{"metadata":{"annotations":{"deprecated.deployment.rollback.to":"0"}}}`)
	rolled("4")
	if most, least := w.extremes(); most > 8 || least < 5 {
		t.Errorf("a rollout that failed and was undone had %d pods, and %d ready", most, least)
	}
	c.awaitEvent(ns, "web", "DeploymentRollback")

	// Scaled amid a rollout and while paused.
	image("broken:5")
	await(c, deployments, "web", func(d *appsv1.Deployment) bool { return d.Status.UpdatedReplicas == 3 && d.Status.Replicas == 8 })
	set(`{"spec":{"paused":true}}`)
	set(`{"spec":{"replicas":12}}`)
	await(c, deployments, "web", func(d *appsv1.Deployment) bool {
		return d.Status.Replicas == 14 && d.Status.UpdatedReplicas == 5 && slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Reason == "DeploymentPaused" })
	})
	image("ready:6")
	set(`{"spec":{"paused":false,"replicas":4}}`)
	rolled("6")
	sets := must(c.client.AppsV1().ReplicaSets(ns).List(c.ctx, metav1.ListOptions{}))(t)
	if len(sets.Items) > 4 {
		t.Errorf("%d ReplicaSets with a history of 2", len(sets.Items))
	}

	// Recreate.
	set(`{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`)
	w.from(4)
	image("ready:7")
	rolled("7")
	if most, least := w.extremes(); most > 4 || least != 0 {
		t.Errorf("recreated with %d pods at most, %d at least", most, least)
	}
}

func TestReplicaSets(t *testing.T) {
	c := start(t, nil, "serviceaccount", "replicaset", "replicationcontroller")
	c.workers()
	ns := c.namespace("sets")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	pods, sets := c.client.CoreV1().Pods(ns), c.client.AppsV1().ReplicaSets(ns)
	orphan := podTemplate("web", "ready")
	must(pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "orphan", Labels: orphan.Labels}, Spec: orphan.Spec}, metav1.CreateOptions{}))(t)
	web := must(sets.Create(c.ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](600), Selector: appSelector("web"), Template: podTemplate("web", "ready")},
	}, metav1.CreateOptions{}))(t)
	await(c, sets, "web", func(s *appsv1.ReplicaSet) bool { return s.Status.AvailableReplicas == 600 })
	all := must(pods.List(c.ctx, metav1.ListOptions{}))(t)
	if len(all.Items) != 600 {
		t.Errorf("%d pods, not 600", len(all.Items))
	}
	if p := must(pods.Get(c.ctx, "orphan", metav1.GetOptions{}))(t); !metav1.IsControlledBy(p, web) {
		t.Errorf("was not adopted: %+v", p.OwnerReferences)
	}
	must(pods.Patch(c.ctx, "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"debug"}}}`), metav1.PatchOptions{}))(t)
	await(c, pods, "orphan", func(p *corev1.Pod) bool { return len(p.OwnerReferences) == 0 })
	must(sets.Patch(c.ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{}))(t)
	await(c, sets, "web", func(s *appsv1.ReplicaSet) bool {
		return s.Status.Replicas == 3 && s.Status.AvailableReplicas == 3 && s.Status.TerminatingReplicas != nil && *s.Status.TerminatingReplicas == 0
	})

	// A pod that can't be made is said in a condition.
	controllers := c.client.CoreV1().ReplicationControllers(ns)
	template := podTemplate("old", "ready")
	template.Spec.PriorityClassName = "late"
	must(controllers.Create(c.ctx, &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "old"}, Spec: corev1.ReplicationControllerSpec{Replicas: ptr.To[int32](2), Selector: template.Labels, Template: &template},
	}, metav1.CreateOptions{}))(t)
	await(c, controllers, "old", func(rc *corev1.ReplicationController) bool {
		return len(rc.Status.Conditions) == 1 && rc.Status.Conditions[0].Reason == "FailedCreate"
	})
	must(c.client.SchedulingV1().PriorityClasses().Create(c.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Value: 1}, metav1.CreateOptions{}))(t)
	await(c, controllers, "old", func(rc *corev1.ReplicationController) bool {
		return rc.Status.AvailableReplicas == 2 && len(rc.Status.Conditions) == 0
	})
}
