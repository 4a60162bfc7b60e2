package controllers_test

import (
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers"
)

// adapters are the metrics APIs in front of a cluster, as aggregated servers
// provide them. They say the same of all pods.
type adapters struct {
	c     *cluster
	proxy *httputil.ReverseProxy

	mu       sync.Mutex
	cpu      string // of each container
	requests string // of each pod
	hits     string // of the Deployment
	queue    string // outside of the cluster
}

func (a *adapters) say(change func(*adapters)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *adapters) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	cpu, requests, hits, queue := a.cpu, a.requests, a.hits, a.queue
	a.mu.Unlock()
	answer := func(object any) {
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		_ = json.NewEncoder(w).Encode(object)
	}
	now := metav1.Now()
	switch path := r.URL.Path; {
	case path == "/apis":
		// Discovery in the old form, to which a group is easily added.
		groups, err := a.c.client.Discovery().ServerGroups()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: "custom.metrics.k8s.io/v1beta2", Version: "v1beta2"}
		out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, group := range groups.Groups {
			if group.Name != "" {
				out.Groups = append(out.Groups, group)
			}
		}
		out.Groups = append(out.Groups, metav1.APIGroup{Name: "custom.metrics.k8s.io", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
		answer(out)
	case path == "/apis/custom.metrics.k8s.io/v1beta2":
		answer(&metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "custom.metrics.k8s.io/v1beta2"})
	case strings.HasPrefix(path, "/apis/metrics.k8s.io/"):
		list := &metricsv1beta1.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}}
		for _, pod := range a.pods(r) {
			m := metricsv1beta1.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Timestamp: now, Window: metav1.Duration{Duration: time.Second}}
			for _, container := range pod.Spec.Containers {
				m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: container.Name, Usage: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}})
			}
			list.Items = append(list.Items, m)
		}
		answer(list)
	case strings.HasPrefix(path, "/apis/custom.metrics.k8s.io/"):
		list := &custommetrics.MetricValueList{TypeMeta: metav1.TypeMeta{Kind: "MetricValueList", APIVersion: "custom.metrics.k8s.io/v1beta2"}}
		if strings.HasSuffix(path, "/hits") {
			list.Items = []custommetrics.MetricValue{{DescribedObject: corev1.ObjectReference{Kind: "Deployment", Name: "web"}, Timestamp: now, Value: resource.MustParse(hits)}}
		} else {
			for _, pod := range a.pods(r) {
				list.Items = append(list.Items, custommetrics.MetricValue{DescribedObject: corev1.ObjectReference{Kind: "Pod", Name: pod.Name}, Timestamp: now, Value: resource.MustParse(requests)})
			}
		}
		answer(list)
	case strings.HasPrefix(path, "/apis/external.metrics.k8s.io/"):
		list := &externalmetrics.ExternalMetricValueList{TypeMeta: metav1.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: "external.metrics.k8s.io/v1beta1"}}
		list.Items = []externalmetrics.ExternalMetricValue{{MetricName: "queue", Timestamp: now, Value: resource.MustParse(queue)}}
		answer(list)
	default:
		a.proxy.ServeHTTP(w, r)
	}
}

func (a *adapters) pods(r *http.Request) []corev1.Pod {
	namespace, _, _ := strings.Cut(strings.SplitAfter(r.URL.Path, "/namespaces/")[1], "/")
	list, err := a.c.client.CoreV1().Pods(namespace).List(r.Context(), metav1.ListOptions{LabelSelector: r.URL.Query().Get("labelSelector")})
	if err != nil {
		return nil
	}
	return list.Items
}

// autoscale runs the autoscaler by itself, against the cluster with adapters.
func autoscale(c *cluster) *adapters {
	c.Helper()
	a := &adapters{c: c, cpu: "100m", requests: "0", hits: "0", queue: "0", proxy: c.reach()}
	c.control(a, scaleAtOnce, "horizontalpodautoscaling")
	return a
}

// scaleAtOnce looks at metrics often and believes them.
func scaleAtOnce(o *controllers.Options) {
	h := &o.Config.HPAController
	h.HorizontalPodAutoscalerSyncPeriod.Duration = 200 * time.Millisecond
	h.HorizontalPodAutoscalerDownscaleStabilizationWindow.Duration = 0
	h.HorizontalPodAutoscalerCPUInitializationPeriod.Duration = 0
}

func TestPodsAreAutoscaled(t *testing.T) {
	c := start(t, nil, "serviceaccount", "deployment", "replicaset")
	c.workers()
	a := autoscale(c)
	ns := c.namespace("scaled")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	deployments, autoscalers := c.client.AppsV1().Deployments(ns), c.client.AutoscalingV2().HorizontalPodAutoscalers(ns)
	deploy := func(name string, replicas int32) {
		t.Helper()
		template := podTemplate(name, "ready:1")
		template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		must(deployments.Create(c.ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: appSelector(name), Template: template},
		}, metav1.CreateOptions{}))(t)
		c.ready(ns, name, replicas)
	}
	target := func(name string) autoscalingv2.CrossVersionObjectReference {
		return autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	}
	create := func(name, of string, least, most int32, metrics ...autoscalingv2.MetricSpec) {
		t.Helper()
		must(autoscalers.Create(c.ctx, &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: target(of), MinReplicas: &least, MaxReplicas: most, Metrics: metrics},
		}, metav1.CreateOptions{}))(t)
	}
	metrics := func(metrics ...autoscalingv2.MetricSpec) {
		t.Helper()
		for {
			hpa := must(autoscalers.Get(c.ctx, "web", metav1.GetOptions{}))(t)
			hpa.Spec.Metrics = metrics
			if _, err := autoscalers.Update(c.ctx, hpa, metav1.UpdateOptions{}); err == nil {
				return
			}
		}
	}
	says := func(name string, kind autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason string) *autoscalingv2.HorizontalPodAutoscaler {
		t.Helper()
		return await(c, autoscalers, name, func(hpa *autoscalingv2.HorizontalPodAutoscaler) bool {
			for _, condition := range hpa.Status.Conditions {
				if condition.Type == kind {
					return condition.Status == status && condition.Reason == reason
				}
			}
			return false
		})
	}

	// A size between may last for too short a time to be seen but in events.
	rescaled := func(message string) {
		t.Helper()
		told := must(c.client.CoreV1().Events(ns).Watch(c.ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=web,reason=SuccessfulRescale"}))(t)
		defer told.Stop()
		for event := range told.ResultChan() {
			if e, ok := event.Object.(*corev1.Event); ok && e.Message == message {
				return
			}
		}
		t.Fatalf("nothing tells %q", message)
	}

	// By the use of a resource: 100% of what is requested, where it is to be 50%.
	deploy("web", 2)
	create("web", "web", 1, 6, autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
	}})
	rescaled("New size: 4; reason: cpu resource utilization (percentage of request) above target")
	c.ready(ns, "web", 6)
	hpa := says("web", autoscalingv2.ScalingLimited, corev1.ConditionTrue, "TooManyReplicas")
	if current := hpa.Status.CurrentMetrics; len(current) != 1 || *current[0].Resource.Current.AverageUtilization != 100 || current[0].Resource.Current.AverageValue.String() != "100m" {
		t.Errorf("status %+v", hpa.Status)
	}
	a.say(func(a *adapters) { a.cpu = "25m" })
	rescaled("New size: 3; reason: All metrics below target")
	c.ready(ns, "web", 1)

	// By one container, by a metric of each pod, of an object, and from outside.
	a.say(func(a *adapters) { a.cpu = "60m" })
	metrics(autoscalingv2.MetricSpec{Type: autoscalingv2.ContainerResourceMetricSourceType, ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
		Name: corev1.ResourceCPU, Container: "main", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("30m"))},
	}})
	rescaled("New size: 2; reason: cpu resource above target")
	a.say(func(a *adapters) { a.cpu = "30m" })
	says("web", autoscalingv2.AbleToScale, corev1.ConditionTrue, "ReadyForNewScale")
	a.say(func(a *adapters) { a.requests = "30" })
	metrics(autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "requests"}, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("20"))},
	}})
	await(c, deployments, "web", func(d *appsv1.Deployment) bool { return *d.Spec.Replicas >= 3 })
	a.say(func(a *adapters) { a.hits = "250" })
	metrics(autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: target("web"), Metric: autoscalingv2.MetricIdentifier{Name: "hits"},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("50"))},
	}})
	c.ready(ns, "web", 5)
	a.say(func(a *adapters) { a.queue = "20" })
	metrics(autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "queue"}, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse("10"))},
	}})
	c.ready(ns, "web", 2)

	// What can't be told stands in conditions.
	create("lost", "missing", 1, 3)
	says("lost", autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale")
	create("rival", "web", 1, 3)
	says("rival", autoscalingv2.ScalingActive, corev1.ConditionFalse, "AmbiguousSelector")
	if err := autoscalers.Delete(c.ctx, "rival", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	deploy("zero", 0)
	create("zero", "zero", 1, 3)
	says("zero", autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled")
	deploy("memory", 1)
	create("memory", "memory", 1, 3, autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceMemory, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
	}})
	says("memory", autoscalingv2.ScalingActive, corev1.ConditionFalse, "FailedGetResourceMetric")
	c.awaitEvent(ns, "memory", "FailedComputeMetricsReplicas")
}

// ready waits until a Deployment has so many pods, all ready.
func (c *cluster) ready(namespace, name string, replicas int32) {
	c.Helper()
	await(c, c.client.AppsV1().Deployments(namespace), name, func(d *appsv1.Deployment) bool {
		return *d.Spec.Replicas == replicas && d.Status.ObservedGeneration == d.Generation && d.Status.ReadyReplicas == replicas
	})
}
