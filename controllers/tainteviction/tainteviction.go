// Package tainteviction deletes pods from nodes with NoExecute taints that they
// don't tolerate, or no longer
// (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions).
package tainteviction

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	pods "github.com/howdah/howdah/controllers/pod"
	"github.com/howdah/howdah/controllers/reconcile"
)

const workers = 8

type controller struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
	events record.EventRecorder
	clock  clock.PassiveClock
	queue  *reconcile.Queue[types.NamespacedName]

	sentences pods.Sentences
}

// Setup is the taint-eviction-controller.
func Setup(c *reconcile.Controller) error {
	register()
	podInformer, nodeInformer := c.Informers.Core().V1().Pods(), c.Informers.Core().V1().Nodes()
	x := &controller{
		client: c.Client, pods: podInformer.Lister(), nodes: nodeInformer.Lister(),
		events: c.Recorder("taint-eviction-controller"), clock: c.Clock,
	}
	of, err := pods.ByNode(podInformer.Informer())
	if err != nil {
		return err
	}
	x.queue = reconcile.NewQueue(c, "noexec_taint_pod", workers, x.sync)
	if err := c.Handle(podInformer.Informer(), reconcile.Events[*corev1.Pod]{
		Add: func(pod *corev1.Pod) {
			if pod.Spec.NodeName != "" {
				x.queue.Add(nameOf(pod))
			}
		},
		Update: func(before, after *corev1.Pod) {
			if before.Spec.NodeName != after.Spec.NodeName || len(before.Spec.Tolerations) != len(after.Spec.Tolerations) {
				x.queue.Add(nameOf(after))
			}
		},
		Delete: func(pod *corev1.Pod) { x.queue.Add(nameOf(pod)) },
	}); err != nil {
		return err
	}
	nodeChanged := func(node *corev1.Node) {
		for _, pod := range of(node.Name) {
			x.queue.Add(nameOf(pod))
		}
	}
	return c.Handle(nodeInformer.Informer(), reconcile.Events[*corev1.Node]{
		Add: func(node *corev1.Node) {
			if len(noExecute(node)) > 0 {
				nodeChanged(node)
			}
		},
		Update: func(before, after *corev1.Node) {
			if !equality.Semantic.DeepEqual(noExecute(before), noExecute(after)) {
				nodeChanged(after)
			}
		},
		Delete: nodeChanged,
	})
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

func noExecute(node *corev1.Node) []corev1.Taint {
	var taints []corev1.Taint
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, taint)
		}
	}
	return taints
}

// tolerance is for how long the tolerations let a pod stay; forever if for so
// long.
func tolerance(taints []corev1.Taint, tolerations []corev1.Toleration) (stay time.Duration, forever bool) {
	forever = true
	for i := range taints {
		tolerated := false
		for j := range tolerations {
			t := &tolerations[j]
			if !t.ToleratesTaint(klog.Background(), &taints[i], true) {
				continue
			}
			tolerated = true
			if t.TolerationSeconds == nil {
				continue
			}
			seconds := max(time.Duration(*t.TolerationSeconds)*time.Second, 0)
			if forever || seconds < stay {
				stay, forever = seconds, false
			}
		}
		if !tolerated {
			return 0, false
		}
	}
	return stay, forever
}

// sync decides about one pod.
func (x *controller) sync(ctx context.Context, name types.NamespacedName) error {
	pod, err := x.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		x.sentences.Lift(name)
		return nil
	}
	if err != nil {
		return err
	}
	var taints []corev1.Taint
	node, err := x.nodes.Get(pod.Spec.NodeName)
	if err == nil {
		taints = noExecute(node)
	} else if !apierrors.IsNotFound(err) {
		return err
	}
	stay, forever := tolerance(taints, pod.Spec.Tolerations)
	if len(taints) == 0 || forever || pod.DeletionTimestamp != nil {
		if x.sentences.Lift(name) == pod.UID && pod.DeletionTimestamp == nil {
			x.events.Eventf(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s", name)
		}
		return nil
	}
	now := x.clock.Now()
	began := x.sentences.Pass(pod, now)
	if left := began.Add(stay).Sub(now); left > 0 {
		x.queue.AddAfter(name, left)
		return nil
	}
	x.events.Eventf(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s", name)
	evicted, err := pods.Evict(ctx, x.client, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
	if err != nil || !evicted {
		return err
	}
	x.sentences.Lift(name)
	deletions.Inc()
	latency.Observe(x.clock.Since(began.Add(stay)).Seconds())
	return nil
}

var (
	deletions = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "taint_eviction_controller",
		Name:           "pod_deletions_total",
		Help:           "Total number of Pods deleted by TaintEvictionController since its start.",
		StabilityLevel: metrics.ALPHA,
	})
	latency = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "taint_eviction_controller",
		Name:           "pod_deletion_duration_seconds",
		Help:           "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController.",
		Buckets:        []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240},
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(deletions, latency) })
)
