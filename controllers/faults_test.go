package controllers_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server/component"
)

// reach is a proxy to the cluster's server, with the test's credentials.
func (c *cluster) reach() *httputil.ReverseProxy {
	c.Helper()
	server := must(url.Parse(c.config.Host))(c)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) }, Transport: must(rest.TransportFor(c.config))(c), FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}

// control runs controllers that are named by themselves, each with its own
// identity, behind a front of the cluster's server, until the test ends.
func (c *cluster) control(front http.Handler, change func(*controllers.Options), names ...string) {
	c.Helper()
	c.Cleanup(c.begin(front, change, names...))
}

// begin is control until end is called.
func (c *cluster) begin(front http.Handler, change func(*controllers.Options), names ...string) (end func()) {
	c.Helper()
	serving := httptest.NewServer(front)
	options := must(controllers.DefaultOptions())(c)
	options.Config.Generic.Controllers = names
	if change != nil {
		change(options)
	}
	as := func(user string, groups ...string) *rest.Config {
		return &rest.Config{Host: serving.URL, QPS: -1, Impersonate: rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}}
	}
	identities := func(account string) (*rest.Config, error) {
		return as("system:serviceaccount:kube-system:"+account, "system:serviceaccounts", "system:serviceaccounts:kube-system"), nil
	}
	client := must(kubernetes.NewForConfig(as("system:kube-controller-manager")))(c)
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan error, 1)
	go func() {
		log := slog.New(slog.NewTextHandler(c.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
		ended <- controllers.Run(ctx, options, identities, component.NewInformers(client), log)
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			c.Error(err)
		}
		serving.CloseClientConnections()
		serving.Close()
	}
}

// faulty makes one write in four fail: it doesn't reach the server, or it does
// and its answer is lost.
type faulty struct {
	server http.Handler
	// certain are writes whose answer isn't lost.
	certain func(*http.Request) bool

	mu     sync.Mutex
	random *rand.Rand
	faults int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		f.server.ServeHTTP(w, r)
		return
	}
	f.mu.Lock()
	dice := f.random.IntN(8)
	if dice < 2 {
		f.faults++
	}
	f.mu.Unlock()
	switch {
	case dice == 0 && !f.certain(r):
		f.server.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case dice < 2:
		http.Error(w, "on purpose", http.StatusInternalServerError)
	default:
		f.server.ServeHTTP(w, r)
	}
}

// fail runs controllers that meet faults in front of the API.
func (c *cluster) fail(api http.Handler, certain func(*http.Request) bool, names ...string) {
	c.Helper()
	f := &faulty{server: api, certain: certain, random: rand.New(rand.NewPCG(1, 2))}
	c.control(f, func(o *controllers.Options) {
		o.Config.PersistentVolumeBinderController.PVClaimBinderSyncPeriod.Duration = time.Second
		scaleAtOnce(o)
	}, names...)
	c.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.faults < 5 {
			c.Errorf("only %d faults", f.faults)
		}
	})
}

func uncertain(*http.Request) bool { return false }

// TestAllBearsFaults has everything come out right in the end, however many
// writes fail or lose their answers.
func TestAllBearsFaults(t *testing.T) {
	c := start(t, nil, "serviceaccount")
	c.workers()
	ns := c.namespace("faults")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	c.fail(c.reach(), uncertain, "replicaset", "statefulset", "job", "persistentvolume-binder", "pv-protection", "pvc-protection")

	template := podTemplate("sum", "done")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	must(c.client.BatchV1().Jobs(ns).Create(c.ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sum"}, Spec: batchv1.JobSpec{
		Template: template, Parallelism: ptr.To[int32](5), Completions: ptr.To[int32](20), CompletionMode: ptr.To(batchv1.IndexedCompletion),
	}}, metav1.CreateOptions{}))(t)
	must(c.client.AppsV1().StatefulSets(ns).Create(c.ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](4), Selector: appSelector("db"), Template: podTemplate("db", "ready:1"), ServiceName: "db",
	}}, metav1.CreateOptions{}))(t)
	must(c.client.AppsV1().ReplicaSets(ns).Create(c.ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To[int32](10), Selector: appSelector("web"), Template: podTemplate("web", "ready:1"),
	}}, metav1.CreateOptions{}))(t)
	const many = 15
	for i := range many {
		c.claim(ns, fmt.Sprint("claim-", i), ptr.To("manual"))
		c.volume(fmt.Sprint("volume-", i), "manual")
	}

	claimed := map[string]bool{}
	for i := range many {
		claimed[c.awaitClaim(ns, fmt.Sprint("claim-", i), corev1.ClaimBound).Spec.VolumeName] = true
	}
	for name := range claimed {
		c.awaitVolume(name, corev1.VolumeBound)
	}
	if len(claimed) != many {
		t.Errorf("%d volumes are bound to %d claims", len(claimed), many)
	}
	await(c, c.client.AppsV1().StatefulSets(ns), "db", func(s *appsv1.StatefulSet) bool {
		return s.Status.AvailableReplicas == 4 && s.Status.Replicas == 4
	})
	await(c, c.client.AppsV1().ReplicaSets(ns), "web", func(s *appsv1.ReplicaSet) bool {
		return s.Status.AvailableReplicas == 10 && s.Status.Replicas == 10
	})
	job := await(c, c.client.BatchV1().Jobs(ns), "sum", func(j *batchv1.Job) bool {
		return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobComplete })
	})
	if job.Status.Succeeded != 20 || job.Status.CompletedIndexes != "0-19" || job.Status.Failed != 0 {
		t.Errorf("the Job ended with %+v", job.Status)
	}
}

// TestNodesAndSchedulesBearFaults is the same for what goes by nodes, by the clock
// and by metrics.
func TestNodesAndSchedulesBearFaults(t *testing.T) {
	c := start(t, nil, append([]string{"serviceaccount", "deployment", "replicaset", "job"}, binding...)...)
	c.workers()
	ns := c.namespace("faults")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	c.volume("disk", "")
	c.claim(ns, "disk", ptr.To(""))
	c.awaitClaim(ns, "disk", corev1.ClaimBound)
	const most = 5
	for i := range 6 {
		node := must(c.client.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("node-", i), Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		}}, metav1.CreateOptions{}))(t)
		node.Spec.Taints = nil // admission's, until the node is ready
		must(c.client.CoreV1().Nodes().Update(c.ctx, node, metav1.UpdateOptions{}))(t)
	}
	c.fail(&adapters{c: c, cpu: "100m", proxy: c.reach()}, uncertain, "daemonset", "cronjob", "attachdetach", "horizontalpodautoscaling")

	agents := c.client.AppsV1().DaemonSets(ns)
	must(agents.Create(c.ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: appSelector("agent"), Template: podTemplate("agent", "ready:1")}}, metav1.CreateOptions{}))(t)
	runs := func() {
		t.Helper()
		await(c, agents, "agent", func(ds *appsv1.DaemonSet) bool {
			s := ds.Status
			return s.ObservedGeneration == ds.Generation && s.CurrentNumberScheduled == 6 && s.NumberAvailable == 6 && s.UpdatedNumberScheduled == 6
		})
	}
	runs()
	must(agents.Patch(c.ctx, "agent", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"ready:2"}]}}}}`), metav1.PatchOptions{}))(t)
	runs()

	tick := podTemplate("tick", "done")
	tick.Spec.RestartPolicy = corev1.RestartPolicyNever
	crons := c.client.BatchV1().CronJobs(ns)
	must(crons.Create(c.ctx, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "tick"}, Spec: batchv1.CronJobSpec{
		Schedule: "@every 2s", SuccessfulJobsHistoryLimit: ptr.To[int32](1), ConcurrencyPolicy: batchv1.ForbidConcurrent, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: tick}},
	}}, metav1.CreateOptions{}))(t)

	web := podTemplate("web", "ready:1")
	web.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	must(c.client.AppsV1().Deployments(ns).Create(c.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1), Selector: appSelector("web"), Template: web},
	}, metav1.CreateOptions{}))(t)
	must(c.client.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(c.ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: most,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
			}}},
		},
	}, metav1.CreateOptions{}))(t)

	stored := podTemplate("stored", "ready:1")
	stored.Spec.NodeName = "node-0"
	stored.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "disk"}}}}
	must(c.client.CoreV1().Pods(ns).Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stored"}, Spec: stored.Spec}, metav1.CreateOptions{}))(t)
	attachment := attachmentOn(c, "node-0")
	attachment.Status.Attached = true
	must(c.client.StorageV1().VolumeAttachments().UpdateStatus(c.ctx, attachment, metav1.UpdateOptions{}))(t)
	attached := func(n int) func(*corev1.Node) bool {
		return func(node *corev1.Node) bool { return len(node.Status.VolumesAttached) == n }
	}
	await(c, c.client.CoreV1().Nodes(), "node-0", attached(1))
	if err := c.client.CoreV1().Pods(ns).Delete(c.ctx, "stored", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	await(c, c.client.CoreV1().Nodes(), "node-0", attached(0))

	c.ready(ns, "web", most)
	await(c, crons, "tick", func(j *batchv1.CronJob) bool { return j.Status.LastSuccessfulTime != nil })
	jobs := must(c.client.BatchV1().Jobs(ns).List(c.ctx, metav1.ListOptions{}))(t)
	times := map[string]bool{}
	for _, job := range jobs.Items {
		at := job.Annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
		if times[at] {
			t.Errorf("two Jobs for %s", at)
		}
		times[at] = true
	}
}
