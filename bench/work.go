package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// workTimeout bounds the scenarios that wait for a scheduler or controllers.
const workTimeout = 5 * time.Minute

// schedule creates pods without a node and waits until a scheduler has bound
// all of them.
func schedule(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	if err := l.ensureNamespaces(ctx, clients[0]); err != nil {
		return nil, err
	}
	if err := l.ensureNodes(ctx, clients, node); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	began := time.Now()
	var lastCreated atomic.Int64 // nanoseconds after began
	bound, err := awaitPods(ctx, clients[0], "", "work=schedule", l.pods, func(pod *corev1.Pod) bool { return pod.Spec.NodeName != "" }, func() error {
		began = time.Now()
		go fan(l.clients, l.pods, func(w, i int) error {
			pod := l.pod(i)
			pod.Name, pod.Labels["work"], pod.Spec.NodeName = "new-"+pod.Name, "schedule", ""
			_, err := clients[w].CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
			lastCreated.Store(int64(time.Since(began)))
			return err
		})
		return nil
	})
	seconds := time.Since(began).Seconds()
	if err != nil {
		return nil, fmt.Errorf("%d of %d pods were bound: %w", bound, l.pods, err)
	}
	created := time.Duration(lastCreated.Load()).Seconds()
	return []result{{
		Scenario: fmt.Sprintf("create and bind %d pods to %d nodes", l.pods, l.nodes),
		Headline: fmt.Sprintf("%.0f/s (created at %.0f/s)", float64(l.pods)/seconds, float64(l.pods)/created),
		Figures:  map[string]any{"seconds": seconds, "created_seconds": created, "per_second": float64(l.pods) / seconds},
	}}, nil
}

func (l load) ensureNodes(ctx context.Context, clients []*kubernetes.Clientset, node func(i int) *corev1.Node) error {
	nodes := fan(l.clients, l.nodes, func(w, i int) error {
		api := clients[w].CoreV1().Nodes()
		if _, err := api.Create(ctx, node(i), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		// Admission taints a new node as not ready, and a peer may run without
		// the controller that takes this back.
		_, err := api.Patch(ctx, nodeName(i), types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
		return err
	})
	if nodes.errors > 0 {
		return fmt.Errorf("%d nodes could not be created", nodes.errors)
	}
	return nil
}

// deploy creates one Deployment and waits until all its pods exist.
func deploy(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, 1)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	replicas, labels := int32(l.pods), map[string]string{"work": "deploy"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: l.pod(0).Spec}
	template.Spec.NodeName = ""
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "big"}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
	}}
	used, _ := s.cpu() // of a peer it may not be known
	began := time.Now()
	seen, err := awaitPods(ctx, clients[0], metav1.NamespaceDefault, "work=deploy", l.pods, func(*corev1.Pod) bool { return true }, func() error {
		began = time.Now()
		_, err := clients[0].AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, deployment, metav1.CreateOptions{})
		return err
	})
	seconds := time.Since(began).Seconds()
	if err != nil {
		return nil, fmt.Errorf("%d of %d pods were created: %w", seen, l.pods, err)
	}
	r := result{
		Scenario: fmt.Sprintf("a Deployment's %d pods", l.pods),
		Headline: fmt.Sprintf("%.0f/s", float64(l.pods)/seconds),
		Figures:  map[string]any{"seconds": seconds, "per_second": float64(l.pods) / seconds},
	}
	if after, err := s.cpu(); err == nil {
		r.addCPU(after-used, l.pods)
	}
	return []result{r}, nil
}

// awaitPods watches pods, starts the work, and returns when as many as wanted
// are done.
func awaitPods(ctx context.Context, client *kubernetes.Clientset, namespace, selector string, wanted int, done func(*corev1.Pod) bool, start func() error) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan types.UID, 1000)
	err := follow(ctx, client.CoreV1().RESTClient(), "pods", namespace, selector, &corev1.Pod{}, func(pod *corev1.Pod, gone bool) {
		if !gone && done(pod) {
			select {
			case finished <- pod.UID:
			case <-ctx.Done():
			}
		}
	})
	if err != nil {
		return 0, err
	}
	if err := start(); err != nil {
		return 0, err
	}
	all := map[types.UID]bool{}
	for len(all) < wanted {
		select {
		case uid := <-finished:
			all[uid] = true
		case <-ctx.Done():
			return len(all), ctx.Err()
		}
	}
	return len(all), nil
}

// follow tells what objects there are, which it has done when it returns, and what
// becomes of them until ctx ends.
func follow[T runtime.Object](ctx context.Context, client rest.Interface, resource, namespace, selector string, kind T, see func(object T, gone bool)) error {
	informer := cache.NewSharedInformer(cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector }), kind, 0)
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { see(object.(T), false) },
		UpdateFunc: func(_, object any) { see(object.(T), false) },
		DeleteFunc: func(object any) {
			if last, ok := object.(T); ok {
				see(last, true)
			}
		},
	})
	if err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return ctx.Err()
	}
	return nil
}
