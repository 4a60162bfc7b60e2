// Package podgc deletes pods that nobody else will: those whose node is gone or
// out of service, those deleted before they had a node, and the oldest finished
// ones beyond a threshold
// (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection).
package podgc

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	pods "github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	period     = 20 * time.Second
	quarantine = 40 * time.Second // how long a node must be missing before its pods go
	atOnce     = 10               // deletes
)

// A reason is upstream's label of a deletion.
type reason string

const (
	terminated   reason = "terminated"
	outOfService reason = "out-of-service"
	orphaned     reason = "orphaned"
	unscheduled  reason = "unscheduled"
)

// A victim is a pod to delete.
type victim struct {
	pod    *corev1.Pod
	reason reason
}

// Setup is the pod-garbage-collector-controller. Finished pods beyond the
// threshold are deleted, oldest first; none if it isn't positive.
func Setup(threshold int32) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		podInformer, nodeInformer := c.Informers.Core().V1().Pods(), c.Informers.Core().V1().Nodes()
		if err := c.Need(podInformer.Informer(), nodeInformer.Informer()); err != nil {
			return err
		}
		all, nodes := podInformer.Lister(), nodeInformer.Lister()
		missing := map[string]time.Time{} // nodes: since when
		c.Every(period, func(ctx context.Context) {
			found, err := all.List(labels.Everything())
			if err != nil {
				return
			}
			known, err := nodes.List(labels.Everything())
			if err != nil {
				return
			}
			byName := map[string]*corev1.Node{}
			for _, node := range known {
				byName[node.Name] = node
			}
			gone := quarantined(missing, found, byName, c.Clock.Now())
			for name := range gone {
				// The cache may be behind: ask before pods are lost.
				if _, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					delete(gone, name)
				}
			}
			deleteAll(ctx, c, choose(found, byName, gone, int(threshold)))
		})
		return nil
	}
}

// quarantined are the nodes that pods name and that have been missing for long
// enough; it keeps account in missing.
func quarantined(missing map[string]time.Time, all []*corev1.Pod, nodes map[string]*corev1.Node, now time.Time) map[string]bool {
	named, gone := map[string]bool{}, map[string]bool{}
	for _, pod := range all {
		name := pod.Spec.NodeName
		if name == "" || nodes[name] != nil || named[name] {
			continue
		}
		named[name] = true
		if since, ok := missing[name]; !ok {
			missing[name] = now
		} else if now.Sub(since) >= quarantine {
			gone[name] = true
		}
	}
	for name := range missing {
		if !named[name] {
			delete(missing, name)
		}
	}
	return gone
}

// choose decides which pods go. gone are the nodes that don't exist.
func choose(all []*corev1.Pod, nodes map[string]*corev1.Node, gone map[string]bool, threshold int) []victim {
	var victims []victim
	var finished []*corev1.Pod
	for _, pod := range all {
		node := nodes[pod.Spec.NodeName]
		deleted := pod.DeletionTimestamp != nil
		switch {
		case gone[pod.Spec.NodeName]:
			victims = append(victims, victim{pod, orphaned})
		case deleted && pod.Spec.NodeName == "":
			victims = append(victims, victim{pod, unscheduled})
		case deleted && node != nil && !ready(node) && tainted(node, corev1.TaintNodeOutOfService):
			victims = append(victims, victim{pod, outOfService})
		case pods.Terminal(pod):
			finished = append(finished, pod)
		}
	}
	if extra := len(finished) - threshold; threshold > 0 && extra > 0 {
		slices.SortFunc(finished, evictedAndOldestFirst)
		for _, pod := range finished[:extra] {
			victims = append(victims, victim{pod, terminated})
		}
	}
	return victims
}

func evictedAndOldestFirst(a, b *corev1.Pod) int {
	if evictedA, evictedB := evicted(a), evicted(b); evictedA != evictedB {
		if evictedA {
			return -1
		}
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func evicted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted"
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func tainted(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

func deleteAll(ctx context.Context, c *reconcile.Controller, victims []victim) {
	var some errgroup.Group
	some.SetLimit(atOnce)
	for _, v := range victims {
		some.Go(func() error {
			deletions.WithLabelValues(v.pod.Namespace, string(v.reason)).Inc()
			if err := end(ctx, c.Client, v, metav1.NewTime(c.Clock.Now())); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				failures.WithLabelValues(v.pod.Namespace, string(v.reason)).Inc()
				c.Log.Warn("a pod was not collected, trying again later", "pod", v.pod.Namespace+"/"+v.pod.Name, "reason", v.reason, "err", err)
			}
			return nil
		})
	}
	_ = some.Wait()
}

// end marks a pod as failed, since nothing runs it any more, and deletes it
// without waiting for a node.
func end(ctx context.Context, client kubernetes.Interface, v victim, now metav1.Time) error {
	if !pods.Terminal(v.pod) {
		var condition *corev1.PodCondition
		if v.reason == orphaned {
			condition = pods.Disrupted(v.pod, "DeletionByPodGC", "PodGC: node no longer exists", now)
		}
		if err := pods.PatchStatus(ctx, client, v.pod, corev1.PodFailed, condition); err != nil {
			return err
		}
	}
	immediately := int64(0)
	return client.CoreV1().Pods(v.pod.Namespace).Delete(ctx, v.pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &immediately, Preconditions: &metav1.Preconditions{UID: &v.pod.UID},
	})
}

var (
	deletions = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "pod_gc_collector",
		Name:           "force_delete_pods_total",
		Help:           "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"namespace", "reason"})
	failures = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "pod_gc_collector",
		Name:           "force_delete_pod_errors_total",
		Help:           "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"namespace", "reason"})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(deletions, failures) })
)
