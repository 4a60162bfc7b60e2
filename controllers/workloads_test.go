package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
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
// are deleted. It keeps account of how many pods there were.
type workers struct {
	c     *cluster
	mu    sync.Mutex
	pods  map[types.UID]*corev1.Pod // those that are not being deleted and not at their end
	spans []*span
	// Of indexed Jobs: the pod of each index that runs or has succeeded.
	indexes map[string]types.UID
	twice   []string
}

// A span is how many pods of an app there were at most, and ready ones at least.
type span struct {
	w           *workers
	app         string
	most, least int
}

func (c *cluster) workers() *workers {
	c.Helper()
	w := &workers{c: c, pods: map[types.UID]*corev1.Pod{}, indexes: map[string]types.UID{}}
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
	gone = gone || p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed
	if index := p.Annotations[batchv1.JobCompletionIndexAnnotation]; index != "" {
		key := p.Labels["app"] + " " + index
		switch other, taken := w.indexes[key]; {
		case gone && other == p.UID:
			delete(w.indexes, key)
		case !gone && taken && other != p.UID:
			w.twice = append(w.twice, key)
		case !gone:
			w.indexes[key] = p.UID
		}
	}
	if gone || p.Status.Phase == corev1.PodSucceeded {
		delete(w.pods, p.UID)
	} else {
		w.pods[p.UID] = p
	}
	for _, s := range w.spans {
		all, ready := w.number(s.app)
		s.most, s.least = max(s.most, all), min(s.least, ready)
	}
}

// number is how many pods of an app there are, and how many of them are ready.
func (w *workers) number(app string) (all, ready int) {
	for _, p := range w.pods {
		if p.Labels["app"] != app {
			continue
		}
		all++
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			ready++
		}
	}
	return all, ready
}

// from keeps a span of an app that has n pods, all ready.
func (w *workers) from(app string, n int) *span {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &span{w, app, n, n}
	w.spans = append(w.spans, s)
	return s
}

// within checks that there were at least so many ready pods, and at most so many
// pods.
func (s *span) within(least, most int) {
	s.w.c.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.least < least || s.most > most {
		s.w.c.Errorf("%s had %d ready pods at least and %d pods at most, not between %d and %d", s.app, s.least, s.most, least, most)
	}
}

// noIndexTwice checks that no index of a Job was run while it ran, or again when
// it had succeeded.
func (w *workers) noIndexTwice() {
	w.c.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.twice) > 0 {
		w.c.Errorf("indexes with two pods: %q", w.twice)
	}
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

	rollout := w.from("web", 6)
	image("ready:2")
	rolled("2")
	rollout.within(5, 8)

	// A broken image stops the rollout where the strategy says, and undoing it
	// takes the old ReplicaSet again.
	rollout = w.from("web", 6)
	image("broken:3")
	await(c, deployments, "web", func(d *appsv1.Deployment) bool {
		return d.Status.UpdatedReplicas == 3 && d.Status.AvailableReplicas == 5 && d.Status.Replicas == 8
	})
	set(`{"metadata":{"annotations":{"deprecated.deployment.rollback.to":"0"}}}`)
	rolled("4")
	rollout.within(5, 8)
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
	recreated := w.from("web", 4)
	image("ready:7")
	rolled("7")
	recreated.within(0, 4)
	if recreated.least != 0 {
		t.Errorf("recreated with %d pods ready all the time", recreated.least)
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
