package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const ready = `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`

// roll creates many Deployments, gives them another image, and deletes them. No
// scheduler is to run: the pods become ready where they are.
func roll(ctx context.Context, s *system, l load) ([]result, error) {
	const replicas = 10
	deployments := l.pods / replicas
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	if err := l.ensureNamespaces(ctx, clients[0]); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()

	// What kubelets would do.
	fresh := make(chan *corev1.Pod, 2*l.pods)
	var pods atomic.Int64
	if err := follow(ctx, clients[0].CoreV1().RESTClient(), "pods", "", "work=roll", &corev1.Pod{}, func(pod *corev1.Pod, gone bool) {
		switch {
		case gone:
			pods.Add(-1)
		case pod.Status.Phase == corev1.PodPending:
			pods.Add(1)
			fresh <- pod
		}
	}); err != nil {
		return nil, err
	}
	for w := range l.clients {
		go func() {
			for {
				select {
				case pod := <-fresh:
					_, _ = clients[w].CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(ready), metav1.PatchOptions{}, "status")
				case <-ctx.Done():
					return
				}
			}
		}()
	}

	var mu sync.Mutex
	done := map[string]bool{} // those that have all their pods available
	settled := make(chan struct{}, 1)
	var wanted int64
	if err := follow(ctx, clients[0].AppsV1().RESTClient(), "deployments", "", "work=roll", &appsv1.Deployment{}, func(d *appsv1.Deployment, gone bool) {
		mu.Lock()
		defer mu.Unlock()
		n := d.Status
		if gone || n.ObservedGeneration < wanted || n.UpdatedReplicas != replicas || n.AvailableReplicas != replicas || n.Replicas != replicas {
			return
		}
		if done[d.Name] = true; len(done) == deployments {
			select {
			case settled <- struct{}{}:
			default:
			}
		}
	}); err != nil {
		return nil, err
	}
	phase := func(name string, generation int64, act func(w, i int) error) (result, error) {
		mu.Lock()
		wanted = generation
		clear(done)
		mu.Unlock()
		began := time.Now()
		if m := fan(l.clients, deployments, act); m.errors > 0 {
			return result{}, fmt.Errorf("%d of %d requests failed", m.errors, deployments)
		}
		select {
		case <-settled:
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return result{}, fmt.Errorf("%d of %d Deployments are there: %w", len(done), deployments, ctx.Err())
		}
		seconds := time.Since(began).Seconds()
		return result{
			Scenario: fmt.Sprintf("%s %d Deployments of %d", name, deployments, replicas), Headline: fmt.Sprintf("%.1f s", seconds), Figures: map[string]any{"seconds": seconds},
		}, nil
	}
	name := func(i int) string { return fmt.Sprintf("web-%04d", i) }
	labels := func(i int) map[string]string { return map[string]string{"work": "roll", "app": name(i)} }
	created, err := phase("create", 1, func(w, i int) error {
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(i)}, Spec: l.pod(i).Spec}
		template.Spec.NodeName = ""
		_, err := clients[w].AppsV1().Deployments(l.namespace(i)).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name(i), Labels: labels(i)},
			Spec:       appsv1.DeploymentSpec{Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: labels(i)}, Template: template},
		}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	rolled, err := phase("roll", 2, func(w, i int) error {
		_, err := clients[w].AppsV1().Deployments(l.namespace(i)).Patch(ctx, name(i), types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"registry.example/web:2"}]}}}}`), metav1.PatchOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if m := fan(l.clients, deployments, func(w, i int) error {
		return clients[w].AppsV1().Deployments(l.namespace(i)).Delete(ctx, name(i), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	}); m.errors > 0 {
		return nil, fmt.Errorf("%d Deployments could not be deleted", m.errors)
	}
	if err := awaitNone(ctx, &pods); err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	return []result{created, rolled, {
		Scenario: fmt.Sprintf("delete %d Deployments of %d", deployments, replicas), Headline: fmt.Sprintf("%.1f s", seconds), Figures: map[string]any{"seconds": seconds},
	}}, nil
}

// awaitNone waits until nothing is left of what is counted.
func awaitNone(ctx context.Context, left *atomic.Int64) error {
	for left.Load() > 0 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d are left: %w", left.Load(), ctx.Err())
		}
	}
	return nil
}

// collect deletes the owner of many configmaps and waits until they are gone.
func collect(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	owner, err := clients[0].CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	var left atomic.Int64
	if err := follow(ctx, clients[0].CoreV1().RESTClient(), "configmaps", metav1.NamespaceDefault, "work=collect", &corev1.ConfigMap{}, func(_ *corev1.ConfigMap, gone bool) {
		if gone {
			left.Add(-1)
		}
	}); err != nil {
		return nil, err
	}
	left.Store(int64(l.pods))
	if m := fan(l.clients, l.pods, func(w, i int) error {
		_, err := clients[w].CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("owned-%d", i), Labels: map[string]string{"work": "collect"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}},
		}}, metav1.CreateOptions{})
		return err
	}); m.errors > 0 {
		return nil, fmt.Errorf("%d dependents could not be created", m.errors)
	}
	time.Sleep(2 * time.Second) // the collector has seen them
	began := time.Now()
	if err := clients[0].CoreV1().ConfigMaps(metav1.NamespaceDefault).Delete(ctx, owner.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		return nil, err
	}
	if err := awaitNone(ctx, &left); err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	return []result{{
		Scenario: fmt.Sprintf("collect %d dependents", l.pods), Headline: fmt.Sprintf("%.1f s, %.0f/s", seconds, float64(l.pods)/seconds),
		Figures: map[string]any{"seconds": seconds, "per_s": float64(l.pods) / seconds},
	}}, nil
}

// endpoints has one pod of a large Service change its readiness all the time.
func endpoints(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	if err := l.ensureNodes(ctx, clients, node); err != nil {
		return nil, err
	}
	pods, labels := clients[0].CoreV1().Pods(metav1.NamespaceDefault), map[string]string{"work": "endpoints"}
	if m := fan(l.clients, l.pods, func(w, i int) error {
		pod := l.pod(i)
		pod.Namespace, pod.Labels = metav1.NamespaceDefault, labels
		if _, err := clients[w].CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
		address := fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)
		patch := fmt.Appendf(nil, `{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":"True"}]}}`, address, address)
		_, err := clients[w].CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	}); m.errors > 0 {
		return nil, fmt.Errorf("%d pods could not be created", m.errors)
	}
	var mu sync.Mutex
	known, shown, changes := map[string]int{}, false, 0
	target := podName(l.pods / 2)
	enough := make(chan struct{}, 1)
	if err := follow(ctx, clients[0].DiscoveryV1().RESTClient(), "endpointslices", metav1.NamespaceDefault, discoveryv1.LabelServiceName+"=all", &discoveryv1.EndpointSlice{}, func(slice *discoveryv1.EndpointSlice, _ bool) {
		mu.Lock()
		defer mu.Unlock()
		changes++
		known[slice.Name] = len(slice.Endpoints)
		sum := 0
		for _, n := range known {
			sum += n
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && e.TargetRef.Name == target {
				shown = *e.Conditions.Ready
			}
		}
		if sum == l.pods {
			select {
			case enough <- struct{}{}:
			default:
			}
		}
	}); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := clients[0].CoreV1().Services(metav1.NamespaceDefault).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "all"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	select {
	case <-enough:
	case <-ctx.Done():
		return nil, fmt.Errorf("the slices don't have all pods: %w", ctx.Err())
	}
	filled := time.Since(began).Seconds()
	mu.Lock()
	changes = 0
	mu.Unlock()

	const rate = 50
	used, err := s.cpu()
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	began = time.Now()
	is := true
	for time.Since(began) < time.Duration(l.seconds)*time.Second {
		<-tick.C
		status := map[bool]string{true: "True", false: "False"}[!is]
		if _, err := pods.Patch(ctx, target, types.StrategicMergePatchType, fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, status), metav1.PatchOptions{}, "status"); err != nil {
			return nil, err
		}
		is = !is
	}
	last := time.Now()
	seconds := last.Sub(began).Seconds()
	for {
		mu.Lock()
		same := shown == is
		mu.Unlock()
		if same {
			break
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the slices don't show the last change: %w", ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
	lag := time.Since(last)
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	cores := (after - used).Seconds() / seconds
	mu.Lock()
	defer mu.Unlock()
	perSecond := float64(changes) / seconds
	return []result{{
		Scenario: fmt.Sprintf("EndpointSlices of %d pods", l.pods), Headline: fmt.Sprintf("%.2f s", filled), Figures: map[string]any{"seconds": filled},
	}, {
		Scenario: fmt.Sprintf("one of the %d changing %d times a second", l.pods, rate),
		Headline: fmt.Sprintf("%.0f%% of a core, %.0f slices/s, last change after %.0f ms", 100*cores, perSecond, lag.Seconds()*1000),
		Figures:  map[string]any{"cores": cores, "slices_per_s": perSecond, "lag_ms": lag.Seconds() * 1000},
	}}, nil
}

// idle has every node renew its lease, and nothing else happen.
func idle(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	created, err := populate(ctx, s, l)
	if err != nil {
		return nil, err
	}
	for _, c := range created {
		if c.Figures["errors"] != int64(0) {
			return nil, fmt.Errorf("not all of what is to idle was created: %v", created)
		}
	}
	held, err := holdLeases(ctx, clients, l)
	if err != nil {
		return nil, err
	}
	// kubelets renew every ten seconds; they begin at any time.
	round := func() (failed int64) {
		tick := time.NewTicker(10 * time.Second / time.Duration(l.nodes))
		defer tick.Stop()
		var running sync.WaitGroup
		var errors atomic.Int64
		for i := range l.nodes {
			<-tick.C
			running.Go(func() {
				if held.renew(ctx, clients[i%l.clients], nodeName(i)) != nil {
					errors.Add(1)
				}
			})
		}
		running.Wait()
		return errors.Load()
	}
	for range 3 { // the work of filling dies away
		if failed := round(); failed > 0 {
			return nil, fmt.Errorf("%d leases could not be renewed before the measurement", failed)
		}
	}
	used, err := s.cpu()
	if err != nil {
		return nil, err
	}
	before, err := requests(ctx, clients[0])
	if err != nil {
		return nil, err
	}
	began, renewals := time.Now(), 0
	for time.Since(began) < time.Duration(l.seconds)*time.Second {
		renewals += l.nodes
		if failed := round(); failed > 0 {
			return nil, fmt.Errorf("%d leases could not be renewed during the measurement", failed)
		}
	}
	seconds := time.Since(began).Seconds()
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	total, err := requests(ctx, clients[0])
	if err != nil {
		return nil, err
	}
	resident, err := memory(ctx, s, l)
	if err != nil {
		return nil, err
	}
	cores, own := (after-used).Seconds()/seconds, math.Round((total-before-float64(renewals))/seconds*60)
	return []result{{
		Scenario: fmt.Sprintf("%d nodes that renew leases, %d pods", l.nodes, l.pods),
		Headline: fmt.Sprintf("%.0f%% of a core, %s, %.0f requests a minute of its own", 100*cores, resident[0].Headline, own),
		Figures:  map[string]any{"cores": cores, "requests_per_minute": own, "memory": resident[0].Figures},
	}}, nil
}

// requests is how many requests the server has answered.
func requests(ctx context.Context, client *kubernetes.Clientset) (float64, error) {
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	var total float64
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "apiserver_request_total{") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil {
				return 0, err
			}
			total += value
		}
	}
	return total, nil
}
