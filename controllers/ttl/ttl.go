// Package ttl tells kubelets, by the annotation node.alpha.kubernetes.io/ttl, for
// how many seconds they may cache Secrets and ConfigMaps: longer in larger
// clusters.
package ttl

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sync"

	"github.com/howdah/howdah/controllers/reconcile"
)

// steps are the sizes of a cluster between which a lifetime holds. They overlap,
// so that a cluster on the edge doesn't go to and fro.
var steps = []struct{ least, most, seconds int }{
	{0, 100, 0}, {90, 500, 15}, {450, 1000, 30}, {900, 2000, 60}, {1800, 10000, 300}, {9000, 1 << 30, 600},
}

// size follows the number of nodes.
type size struct {
	mu    sync.Mutex
	nodes int
	step  int
}

// changed counts nodes that came or went; it says whether the lifetime changed.
func (s *size) changed(by int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes += by
	before := s.step
	for s.nodes > steps[s.step].most {
		s.step++
	}
	for s.nodes < steps[s.step].least {
		s.step--
	}
	return s.step != before
}

func (s *size) seconds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return steps[s.step].seconds
}

// Setup is the ttl-controller.
func Setup(c *reconcile.Controller) error {
	informer := c.Informers.Core().V1().Nodes()
	nodes, cluster := informer.Lister(), &size{}
	queue := reconcile.NewQueue(c, "ttlcontroller", 5, func(ctx context.Context, name string) error {
		node, err := nodes.Get(name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		want := strconv.Itoa(cluster.seconds())
		if err != nil || node.Annotations[corev1.ObjectTTLAnnotationKey] == want {
			return err
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{corev1.ObjectTTLAnnotationKey: want}}})
		if err != nil {
			return fmt.Errorf("make the patch of a node's annotation: %w", err)
		}
		_, err = c.Client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	all := func() {
		known, err := nodes.List(labels.Everything())
		if err != nil {
			return
		}
		for _, node := range known {
			queue.Add(node.Name)
		}
	}
	return c.Handle(informer.Informer(), reconcile.Events[*corev1.Node]{
		Add: func(node *corev1.Node) {
			if cluster.changed(1) {
				all()
			}
			queue.Add(node.Name)
		},
		Update: func(_, node *corev1.Node) { queue.Add(node.Name) },
		Delete: func(*corev1.Node) {
			if cluster.changed(-1) {
				all()
			}
		},
	})
}
