package e2e

import (
	"context"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// A process is a component that runs beside its server.
type process struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	log     lockedBuffer
}

// component starts howdah scheduler or howdah controller-manager, whose elections
// are faster than by default.
func (s *server) component(name string, flags ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, name: name}
	p.command = exec.Command(howdah, append([]string{name, "--kubeconfig", s.kubeconfig(), "--secure-port", "0", "--log-level", "debug",
		"--leader-elect-lease-duration", "3s", "--leader-elect-renew-deadline", "2s", "--leader-elect-retry-period", "200ms"}, flags...)...)
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	if err := p.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if p.command != nil {
			p.stop()
		}
		if s.t.Failed() {
			s.t.Logf("log of howdah %s:\n%s", name, p.log.tail(8<<10))
		}
	})
	return p
}

// leads waits until the process is the leader.
func (p *process) leads() {
	p.t.Helper()
	if err := p.log.seen(regexp.MustCompile("msg=leading"), seenTimeout); err != nil {
		p.t.Fatalf("howdah %s doesn't lead: %v", p.name, err)
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.command.Wait()
	p.command = nil
}

func (p *process) signal(sign syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(sign); err != nil {
		p.t.Fatalf("send howdah %s the signal %s: %v", p.name, sign, err)
	}
}

// stop asks the process to end and checks that it does so cleanly.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	command := p.command
	p.command = nil
	timer := time.AfterFunc(stopTimeout, func() { command.Process.Kill() })
	if err := command.Wait(); err != nil || !timer.Stop() {
		p.t.Errorf("howdah %s did not stop cleanly: %v", p.name, err)
	}
}

// extremes keep how few pods were ready and how many there were.
type extremes struct {
	mu    sync.Mutex
	pods  map[types.UID]bool // ready or not, of those that aren't leaving
	least int
	most  int
}

// watchPods follows a namespace's pods, from those there are on, until the context
// ends.
func watchPods(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace string) *extremes {
	t.Helper()
	e := &extremes{pods: map[types.UID]bool{}, least: -1}
	followPods(ctx, t, client, namespace, func(pod *corev1.Pod, gone bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if gone || pod.DeletionTimestamp != nil {
			delete(e.pods, pod.UID)
		} else {
			e.pods[pod.UID] = podReady(pod)
		}
		e.most = max(e.most, len(e.pods))
		if e.least >= 0 {
			e.least = min(e.least, e.ready())
		}
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.least, e.most = e.ready(), len(e.pods)
	return e
}

// followPods tells of a namespace's pods until the context ends; it returns when
// it has told of those that are there.
func followPods(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace string, tell func(pod *corev1.Pod, gone bool)) {
	t.Helper()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	see := func(object any, gone bool) {
		if pod, ok := object.(*corev1.Pod); ok {
			tell(pod, gone)
		}
	}
	handler := must(factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { see(o, false) }, UpdateFunc: func(_, o any) { see(o, false) }, DeleteFunc: func(o any) { see(o, true) },
	}))(t)
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		t.Fatal("the pods weren't listed in time")
	}
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (e *extremes) ready() (n int) {
	for _, ready := range e.pods {
		if ready {
			n++
		}
	}
	return n
}

func (e *extremes) seen() (least, most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.least, e.most
}

// TestProcesses runs the controllers and the scheduler as processes of their own.
// The controllers' leader is killed in the middle of a rollout, and the next one
// held up in another until it no longer leads: others go on, and at no time there
// are fewer or more pods than the Deployment allows. No index of a Job runs twice.
func TestProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := newServer(t, "", alone, "--scheduler=false")
	s.kwok()
	client := must(kubernetes.NewForConfig(s.config()))(t)
	addNodes(t, client, 3)
	scheduler := s.component("scheduler")
	first := s.component("controller-manager")
	first.leads()
	scheduler.leads()
	second := s.component("controller-manager", "--use-service-account-credentials")

	const replicas, slack = 20, 2
	deployments, apps := client.AppsV1().Deployments("default"), client.AppsV1().RESTClient()
	awaitObject(ctx, t, client.CoreV1().RESTClient(), "serviceaccounts", "default", "default", &corev1.ServiceAccount{}, func(*corev1.ServiceAccount) bool { return true })
	labels := map[string]string{"app": "web"}
	must(deployments.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: labels}, MinReadySeconds: 1,
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(slack)), MaxSurge: new(intstr.FromInt32(slack))}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "nginx:1"}}}},
		},
	}, metav1.CreateOptions{}))(t)
	rolled := func(d *appsv1.Deployment) bool {
		return d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == replicas && d.Status.AvailableReplicas == replicas && d.Status.Replicas == replicas
	}
	awaitObject(ctx, t, apps, "deployments", "default", "web", &appsv1.Deployment{}, rolled)
	pods := watchPods(ctx, t, client, "default")
	// A Job runs all the while.
	const indexes = 30
	must(client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "batch"}}, metav1.CreateOptions{}))(t)
	must(client.BatchV1().Jobs("batch").Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "sum"},
		Spec: batchv1.JobSpec{
			Completions: new(int32(indexes)), Parallelism: new(int32(2)), CompletionMode: new(batchv1.IndexedCompletion),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "sum", Image: "busybox"}}}},
		},
	}, metav1.CreateOptions{}))(t)
	// hit does something to the leader in the middle of a rollout.
	hit := func(image, what string, strike func()) {
		t.Helper()
		must(deployments.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"`+image+`"}]}}}}`), metav1.PatchOptions{}))(t)
		awaitObject(ctx, t, apps, "deployments", "default", "web", &appsv1.Deployment{}, func(d *appsv1.Deployment) bool {
			return d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas > replicas/4
		})
		strike()
		if d := must(deployments.Get(ctx, "web", metav1.GetOptions{}))(t); rolled(d) {
			t.Errorf("the rollout was over before the leader was %s", what)
		}
	}
	hit("nginx:2", "killed", first.kill)
	second.leads()
	awaitObject(ctx, t, apps, "deployments", "default", "web", &appsv1.Deployment{}, rolled)

	third := s.component("controller-manager")
	hit("nginx:3", "held up", func() { second.signal(syscall.SIGSTOP) })
	third.leads()
	second.signal(syscall.SIGCONT)
	awaitObject(ctx, t, apps, "deployments", "default", "web", &appsv1.Deployment{}, rolled)
	if least, most := pods.seen(); least < replicas-slack || most > replicas+slack {
		t.Errorf("there were %d ready pods at least, and %d pods at most", least, most)
	}
	awaitObject(ctx, t, client.BatchV1().RESTClient(), "jobs", "batch", "sum", &batchv1.Job{}, func(j *batchv1.Job) bool { return j.Status.CompletionTime != nil })
	if all := must(client.CoreV1().Pods("batch").List(ctx, metav1.ListOptions{}))(t).Items; len(all) != indexes {
		t.Errorf("%d pods for %d indexes", len(all), indexes)
	}

	// Who stops gives the lead back.
	second.stop()
	third.stop()
	scheduler.stop()
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		awaitObject(ctx, t, client.CoordinationV1().RESTClient(), "leases", "kube-system", name, &coordinationv1.Lease{}, func(lease *coordinationv1.Lease) bool {
			return lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == ""
		})
	}
}

// TestSetsTakeOver has leaders of the controllers killed, and held up, in the middle
// of rollouts of a StatefulSet and a DaemonSet: there is never more than one pod less,
// and never a pod too many.
func TestSetsTakeOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := newServer(t, "", alone, "--scheduler=false")
	s.kwok()
	client := must(kubernetes.NewForConfig(s.config()))(t)
	const count = 4
	addNodes(t, client, count)
	s.component("scheduler").leads()
	first := s.component("controller-manager")
	first.leads()
	second := s.component("controller-manager")

	labels := map[string]string{"app": "web"}
	template := func(image string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}}}
	}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	for _, namespace := range []string{"stateful", "daemons"} {
		must(client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}))(t)
	}
	stateful, daemons, apps := client.AppsV1().StatefulSets("stateful"), client.AppsV1().DaemonSets("daemons"), client.AppsV1().RESTClient()
	must(stateful.Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.StatefulSetSpec{Replicas: new(int32(count)), Selector: selector, MinReadySeconds: 1, Template: template("nginx:1")},
	}, metav1.CreateOptions{}))(t)
	must(daemons.Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector, MinReadySeconds: 1, Template: template("nginx:1")},
	}, metav1.CreateOptions{}))(t)
	statefulRolled := func(set *appsv1.StatefulSet) bool {
		return set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedReplicas == count && set.Status.AvailableReplicas == count && set.Status.Replicas == count
	}
	daemonsRolled := func(set *appsv1.DaemonSet) bool {
		return set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedNumberScheduled == count && set.Status.NumberAvailable == count
	}
	rolled := func() {
		t.Helper()
		awaitObject(ctx, t, apps, "statefulsets", "stateful", "web", &appsv1.StatefulSet{}, statefulRolled)
		awaitObject(ctx, t, apps, "daemonsets", "daemons", "web", &appsv1.DaemonSet{}, daemonsRolled)
	}
	rolled()
	all := map[string]*extremes{"StatefulSet": watchPods(ctx, t, client, "stateful"), "DaemonSet": watchPods(ctx, t, client, "daemons")}
	hit := func(image, what string, strike func()) {
		t.Helper()
		patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"` + image + `"}]}}}}`)
		must(stateful.Patch(ctx, "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{}))(t)
		must(daemons.Patch(ctx, "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{}))(t)
		awaitObject(ctx, t, apps, "statefulsets", "stateful", "web", &appsv1.StatefulSet{}, func(set *appsv1.StatefulSet) bool {
			return set.Status.ObservedGeneration == set.Generation && set.Status.UpdatedReplicas > 0
		})
		strike()
		if statefulRolled(must(stateful.Get(ctx, "web", metav1.GetOptions{}))(t)) || daemonsRolled(must(daemons.Get(ctx, "web", metav1.GetOptions{}))(t)) {
			t.Errorf("a rollout was over before the leader was %s", what)
		}
	}
	hit("nginx:2", "killed", first.kill)
	second.leads()
	rolled()
	third := s.component("controller-manager")
	hit("nginx:3", "held up", func() { second.signal(syscall.SIGSTOP) })
	third.leads()
	second.signal(syscall.SIGCONT)
	rolled()
	for kind, pods := range all {
		if least, most := pods.seen(); least < count-1 || most > count {
			t.Errorf("the %s had %d ready pods at least, and %d pods at most", kind, least, most)
		}
	}
}
