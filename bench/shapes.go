package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// A shape is a workload of upstream's scheduler_perf
// (k8s.io/kubernetes/test/integration/scheduler_perf): pods that are there, and
// pods that a scheduler is measured with.
type shape struct {
	name           string
	there, measure int
	thereLike      func(i int, pod *corev1.Pod)
	like           func(i int, pod *corev1.Pod)
	meanwhile      func(context.Context, *kubernetes.Clientset)
}

// shapesOf are for nodes of 4 CPUs; where pods is not bounded by the nodes, as many
// are measured.
func shapesOf(l load) []shape {
	blue := func(_ int, pod *corev1.Pod) {
		pod.Labels["color"] = "blue"
		pod.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{colored("blue", "bench-region")},
		}}
	}
	green := func(_ int, pod *corev1.Pod) {
		pod.Labels["color"] = "green"
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{colored("green", corev1.LabelHostname)},
		}}
	}
	return []shape{
		{name: "basic", there: l.nodes, measure: l.pods},
		{name: "affinity", there: l.nodes, measure: l.pods, thereLike: blue, like: blue},
		{name: "anti-affinity", there: l.nodes / 5, measure: min(l.pods, l.nodes*2/5), thereLike: green, like: green},
		{name: "spread", there: l.nodes, measure: l.pods, like: func(_ int, pod *corev1.Pod) {
			pod.Labels["color"] = "blue"
			pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				MaxSkew: 5, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": "blue"}},
			}}
		}},
		{name: "preemption", there: 4 * l.nodes, measure: min(l.pods, l.nodes), thereLike: func(_ int, pod *corev1.Pod) {
			resize(pod, "900m")
		}, like: func(_ int, pod *corev1.Pod) {
			resize(pod, "3")
			pod.Spec.PriorityClassName = important
		}},
		{name: "churn", measure: l.pods, meanwhile: churnBeside},
	}
}

const important = "bench-important"

func colored(color, topology string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": color}}, TopologyKey: topology}
}

func resize(pod *corev1.Pod, cpu string) {
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("500Mi")}
}

// shapes measures how fast a scheduler binds pods that are all there when it
// starts, so that creating them isn't what is measured.
func shapes(ctx context.Context, s *system, l load) ([]result, error) {
	if s.schedule == nil {
		return []result{{Scenario: "shapes", Headline: "-", Figures: map[string]any{"why": "name schedulers that can be started and stopped: -scheduler"}}}, nil
	}
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	if err := s.schedule(ctx, false); err != nil {
		return nil, err
	}
	if err := l.prepareShapes(ctx, clients); err != nil {
		return nil, err
	}
	var results []result
	for _, shape := range shapesOf(l) {
		if l.shape != "" && shape.name != l.shape {
			continue
		}
		r, err := shape.run(ctx, s, l, clients)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shape.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

const shapesNamespace = "bench-shapes"

func (l load) prepareShapes(ctx context.Context, clients []*kubernetes.Clientset) error {
	client := clients[0]
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shapesNamespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: important}, Value: 10}
	if _, err := client.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return l.ensureNodes(ctx, clients, func(i int) *corev1.Node {
		node := node(i)
		node.Labels["bench-region"] = "one"
		room := corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("32Gi"), "pods": resource.MustParse("110")}
		node.Status.Capacity, node.Status.Allocatable, node.Status.Images = room, room, nil
		return node
	})
}

func (sh shape) run(ctx context.Context, s *system, l load, clients []*kubernetes.Clientset) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	create := func(kind string, n int, like func(int, *corev1.Pod), onNode bool) error {
		m := fan(l.clients, n, func(w, i int) error {
			pod := small(fmt.Sprintf("%s-%s-%05d", sh.name, kind, i), kind)
			if like != nil {
				like(i, pod)
			}
			if onNode {
				pod.Spec.NodeName = nodeName(i % l.nodes)
			}
			_, err := clients[w].CoreV1().Pods(shapesNamespace).Create(ctx, pod, metav1.CreateOptions{})
			return err
		})
		if m.errors > 0 {
			return fmt.Errorf("%d pods could not be created", m.errors)
		}
		return nil
	}
	if err := create("there", sh.there, sh.thereLike, true); err != nil {
		return result{}, err
	}
	if err := create("measured", sh.measure, sh.like, false); err != nil {
		return result{}, err
	}
	// It begins with the first that the scheduler writes to a pod: with preemption
	// that is not a binding.
	var first, last time.Time
	var mu sync.Mutex
	var used time.Duration
	started := false
	bound, err := awaitPods(ctx, clients[0], shapesNamespace, "work=measured", sh.measure, func(pod *corev1.Pod) bool {
		mu.Lock()
		defer mu.Unlock()
		last = time.Now()
		if started && first.IsZero() {
			first = last
			used, _ = s.cpu()
		}
		return pod.Spec.NodeName != ""
	}, func() error {
		mu.Lock()
		started = true
		mu.Unlock()
		if err := s.schedule(ctx, true); err != nil {
			return err
		}
		if sh.meanwhile != nil {
			go sh.meanwhile(ctx, clients[1])
		}
		return nil
	})
	if err != nil {
		return result{}, fmt.Errorf("%d of %d pods were bound: %w", bound, sh.measure, err)
	}
	after, _ := s.cpu()
	if err := s.schedule(ctx, false); err != nil {
		return result{}, err
	}
	if err := emptyNamespace(ctx, clients[0], shapesNamespace); err != nil {
		return result{}, err
	}
	seconds := last.Sub(first).Seconds()
	rate := float64(sh.measure-1) / seconds
	cpu := (after - used).Seconds() * 1000 / float64(sh.measure)
	return result{
		Scenario: fmt.Sprintf("%s: %d nodes, %d pods beside, bind %d", sh.name, l.nodes, sh.there, sh.measure),
		Headline: fmt.Sprintf("%.0f/s, %.2f ms CPU", rate, cpu),
		Figures:  map[string]any{"seconds": seconds, "per_second": rate, "cpu_ms": cpu},
	}, nil
}

// small is scheduler_perf's default pod.
func small(name, kind string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"work": kind}}, Spec: corev1.PodSpec{
		Containers:                    []corev1.Container{{Name: "pause", Image: "registry.k8s.io/pause:3.10.2", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}},
		TerminationGracePeriodSeconds: new(int64(0)),
	}}
	resize(pod, "100m")
	return pod
}

// churnBeside makes a node, a pod that fits nowhere and a Service, and deletes them,
// every second.
func churnBeside(ctx context.Context, client *kubernetes.Clientset) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		name := fmt.Sprintf("churn-%d", n/2)
		api := client.CoreV1()
		if n%2 == 1 {
			_ = api.Nodes().Delete(ctx, name, metav1.DeleteOptions{})
			_ = api.Pods(shapesNamespace).Delete(ctx, name, metav1.DeleteOptions{})
			_ = api.Services(shapesNamespace).Delete(ctx, name, metav1.DeleteOptions{})
			continue
		}
		large := small(name, "churn")
		resize(large, "9")
		large.Spec.PriorityClassName = important
		beside := node(0)
		beside.Name = name
		_, _ = api.Nodes().Create(ctx, beside, metav1.CreateOptions{})
		_, _ = api.Pods(shapesNamespace).Create(ctx, large, metav1.CreateOptions{})
		_, _ = api.Services(shapesNamespace).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": name},
		}}, metav1.CreateOptions{})
	}
}

func emptyNamespace(ctx context.Context, client *kubernetes.Clientset, namespace string) error {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	if err := client.CoreV1().Pods(namespace).DeleteCollection(ctx, now, metav1.ListOptions{}); err != nil {
		return err
	}
	services, err := client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range services.Items {
		if err := client.CoreV1().Services(namespace).Delete(ctx, services.Items[i].Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range nodes.Items {
		if name := nodes.Items[i].Name; strings.HasPrefix(name, "churn-") {
			if err := client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// latency creates pods at a steady rate and tells how long each takes from the
// request to its creator's seeing it bound.
func latency(ctx context.Context, s *system, l load) ([]result, error) {
	if s.schedule != nil {
		if err := s.schedule(ctx, true); err != nil {
			return nil, err
		}
	}
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	if err := l.prepareShapes(ctx, clients); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	total := l.rate * l.seconds
	began := make([]time.Time, total)
	took := make(latencies, 0, total)
	var mu sync.Mutex
	var failed atomic.Int64
	bound, err := awaitPods(ctx, clients[0], shapesNamespace, "work=latency", total, func(pod *corev1.Pod) bool {
		var i int
		if _, err := fmt.Sscanf(pod.Name, "latency-%d", &i); err != nil || pod.Spec.NodeName == "" {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if !began[i].IsZero() {
			took = append(took, float64(time.Since(began[i]).Microseconds())/1000)
			began[i] = time.Time{}
		}
		return true
	}, func() error {
		go func() {
			ticks := time.NewTicker(time.Second / time.Duration(l.rate))
			defer ticks.Stop()
			for i := range total {
				<-ticks.C
				go func() {
					mu.Lock()
					began[i] = time.Now()
					mu.Unlock()
					if _, err := clients[i%l.clients].CoreV1().Pods(shapesNamespace).Create(ctx, small(fmt.Sprintf("latency-%05d", i), "latency"), metav1.CreateOptions{}); err != nil {
						failed.Add(1)
					}
				}()
			}
		}()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d pods were bound, %d could not be created: %w", bound, total, failed.Load(), err)
	}
	if s.schedule != nil {
		if err := s.schedule(ctx, false); err != nil {
			return nil, err
		}
	}
	if err := emptyNamespace(ctx, clients[0], shapesNamespace); err != nil {
		return nil, err
	}
	p50, p99 := took.quantile(.5), took.quantile(.99)
	return []result{{
		Scenario: fmt.Sprintf("create to bound at %d pods/s, %d nodes", l.rate, l.nodes),
		Headline: fmt.Sprintf("p50 %.1f, p99 %.1f ms", p50, p99),
		Figures:  map[string]any{"p50_ms": p50, "p99_ms": p99, "max_ms": took.quantile(1)},
	}}, nil
}
