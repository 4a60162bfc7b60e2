package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func populate(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	if err := l.ensureNamespaces(ctx, clients[0]); err != nil {
		return nil, err
	}
	nodes := s.fan(l.clients, l.nodes, func(w, i int) error {
		_, err := clients[w].CoreV1().Nodes().Create(ctx, node(i), metav1.CreateOptions{})
		return err
	})
	pods := s.fan(l.clients, l.pods, func(w, i int) error {
		_, err := clients[w].CoreV1().Pods(l.namespace(i)).Create(ctx, l.pod(i), metav1.CreateOptions{})
		return err
	})
	return []result{nodes.result("create nodes"), pods.result("create pods")}, nil
}

func (l load) ensureNamespaces(ctx context.Context, client *kubernetes.Clientset) error {
	for i := range l.namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace(i)}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// scattered visits pods in an order that no cache line likes.
func (l load) scattered(i int) int { return (i * 7919) % l.pods }

func get(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	m := s.fan(l.clients, l.operations, func(w, i int) error {
		i = l.scattered(i)
		_, err := clients[w].CoreV1().Pods(l.namespace(i)).Get(ctx, podName(i), metav1.GetOptions{})
		return err
	})
	return []result{m.result("get a pod")}, nil
}

func patchStatus(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	m := s.fan(l.clients, l.operations, func(w, i int) error {
		pod := l.scattered(i)
		patch := fmt.Appendf(nil, `{"status":{"phase":"Running","podIP":"10.1.%d.%d"}}`, i%250, i/250%250)
		_, err := clients[w].CoreV1().Pods(l.namespace(pod)).Patch(ctx, podName(pod), types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	})
	return []result{m.result("patch pod status")}, nil
}

func leases(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	held, err := holdLeases(ctx, clients, l)
	if err != nil {
		return nil, err
	}
	m := s.fan(l.clients, l.nodes*l.rounds, func(w, i int) error { return held.renew(ctx, clients[w], nodeName(i%l.nodes)) })
	return []result{m.result("renew node leases")}, nil
}

// nodeLeases are those that the nodes' kubelets hold.
type nodeLeases struct {
	mu   sync.Mutex
	held map[string]*coordinationv1.Lease
}

// holdLeases makes the leases that are missing.
func holdLeases(ctx context.Context, clients []*kubernetes.Clientset, l load) (*nodeLeases, error) {
	n := &nodeLeases{held: map[string]*coordinationv1.Lease{}}
	created := fan(l.clients, l.nodes, func(w, i int) error {
		name, seconds, now := nodeName(i), int32(40), metav1.NowMicro()
		api := clients[w].CoordinationV1().Leases(corev1.NamespaceNodeLease)
		lease, err := api.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			lease, err = api.Get(ctx, name, metav1.GetOptions{})
		}
		if err == nil {
			n.hold(lease)
		}
		return err
	})
	if created.errors > 0 {
		return nil, fmt.Errorf("%d leases could not be created", created.errors)
	}
	return n, nil
}

func (n *nodeLeases) hold(lease *coordinationv1.Lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held[lease.Name] = lease
}

// renew says that the node lives.
func (n *nodeLeases) renew(ctx context.Context, client *kubernetes.Clientset, node string) error {
	n.mu.Lock()
	lease := n.held[node].DeepCopy()
	n.mu.Unlock()
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Update(ctx, lease, metav1.UpdateOptions{})
	if err == nil {
		n.hold(lease)
	}
	return err
}

func churn(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	m := s.fan(l.clients, l.operations, func(w, i int) error {
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("churn-%d", i)}, Data: map[string]string{"k": strings.Repeat("x", 512)}}
		api := clients[w].CoreV1().ConfigMaps("default")
		if _, err := api.Create(ctx, configMap, metav1.CreateOptions{}); err != nil {
			return err
		}
		return api.Delete(ctx, configMap.Name, metav1.DeleteOptions{})
	})
	return []result{m.result("create + delete a configmap")}, nil
}
