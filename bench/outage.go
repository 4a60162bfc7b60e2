package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// renewEvery is how often the nodes of an outage renew their leases.
const renewEvery = 2 * time.Second

// outage has one node after the other fall silent, and waits each time until the
// pods of a Deployment that were on it run elsewhere. Their template tolerates a
// silent node for no time. The system needs a scheduler.
func outage(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	if err := l.ensureNodes(ctx, clients, node); err != nil {
		return nil, err
	}
	held, err := holdLeases(ctx, clients, l)
	if err != nil {
		return nil, err
	}
	o := &outages{unknown: map[string]time.Time{}, silent: map[string]bool{}, pods: map[types.UID]*corev1.Pod{}, wanted: l.pods, full: make(chan time.Time, 1)}

	// What kubelets would do.
	go func() {
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			fan(l.clients, l.nodes, func(w, i int) error {
				if o.isSilent(nodeName(i)) {
					return nil
				}
				return held.renew(ctx, clients[w], nodeName(i))
			})
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	bound := make(chan *corev1.Pod, 2*l.pods)
	for w := range l.clients {
		go func() {
			for {
				select {
				case pod := <-bound:
					_, _ = clients[w].CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(ready), metav1.PatchOptions{}, "status")
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	if err := follow(ctx, clients[0].CoreV1().RESTClient(), "pods", metav1.NamespaceDefault, "work=outage", &corev1.Pod{}, func(pod *corev1.Pod, gone bool) {
		o.seePod(pod, gone)
		if !gone && pod.DeletionTimestamp == nil && pod.Spec.NodeName != "" && pod.Status.Phase == corev1.PodPending {
			bound <- pod
		}
	}); err != nil {
		return nil, err
	}
	if err := follow(ctx, clients[0].CoreV1().RESTClient(), "nodes", "", "", &corev1.Node{}, func(node *corev1.Node, _ bool) { o.seeNode(node) }); err != nil {
		return nil, err
	}

	labels, replicas, now := map[string]string{"work": "outage"}, int32(l.pods), int64(0)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: l.pod(0).Spec}
	template.Spec.NodeName = ""
	template.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &now}}
	if _, err := clients[0].AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "outage"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := o.run(ctx); err != nil {
		return nil, err
	}

	var noticed, replaced latencies // in seconds
	lost := 0
	for i := range min(l.rounds, l.nodes-1) {
		time.Sleep(2 * renewEvery) // all have renewed since the last one
		name := nodeName(i)
		began, pods := o.fallSilent(name)
		lost += pods
		all, err := o.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("after the death of %s: %w", name, err)
		}
		o.mu.Lock()
		noticed = append(noticed, o.unknown[name].Sub(began).Seconds())
		o.mu.Unlock()
		replaced = append(replaced, all.Sub(began).Seconds())
	}
	after := make(latencies, len(replaced)) // the node was Unknown
	for i := range replaced {
		after[i] = replaced[i] - noticed[i]
	}
	return []result{{
		Scenario: fmt.Sprintf("a node of %d pods dies", lost/len(replaced)),
		Headline: fmt.Sprintf("Unknown after %.1f s, replaced after %.1f s, %.2f s later", noticed.quantile(.5), replaced.quantile(.5), after.quantile(.5)),
		Figures:  map[string]any{"unknown_s": noticed, "replaced_s": replaced, "replaced_after_unknown_s": after},
	}}, nil
}

// outages are what is known of nodes and of the Deployment's pods.
type outages struct {
	wanted int
	full   chan time.Time // when all pods ran on nodes that live

	mu      sync.Mutex
	unknown map[string]time.Time // since when nodes are
	silent  map[string]bool
	pods    map[types.UID]*corev1.Pod // that are ready, and stay
}

func (o *outages) isSilent(node string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.silent[node]
}

func (o *outages) seeNode(node *corev1.Node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range node.Status.Conditions {
		if _, known := o.unknown[node.Name]; c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown && !known {
			o.unknown[node.Name] = time.Now()
		}
	}
}

func (o *outages) seePod(pod *corev1.Pod, gone bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if gone || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		delete(o.pods, pod.UID)
		return
	}
	o.pods[pod.UID] = pod
	if len(o.pods) < o.wanted {
		return
	}
	for _, pod := range o.pods {
		if o.silent[pod.Spec.NodeName] {
			return
		}
	}
	select {
	case o.full <- time.Now():
	default:
	}
}

// fallSilent ends a node's renewals; it returns when and how many pods it had.
func (o *outages) fallSilent(node string) (began time.Time, pods int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.full:
	default:
	}
	o.silent[node] = true
	for _, pod := range o.pods {
		if pod.Spec.NodeName == node {
			pods++
		}
	}
	return time.Now(), pods
}

// run waits until all pods run on nodes that live.
func (o *outages) run(ctx context.Context) (time.Time, error) {
	select {
	case at := <-o.full:
		return at, nil
	case <-ctx.Done():
		o.mu.Lock()
		defer o.mu.Unlock()
		return time.Time{}, fmt.Errorf("%d of %d pods run: %w", len(o.pods), o.wanted, ctx.Err())
	}
}
