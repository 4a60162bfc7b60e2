package autoscaling

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/freshness"
	"github.com/howdah/howdah/controllers/reconcile"
)

// rediscover is how often kinds and versions that the API has are looked up again.
const rediscover = 30 * time.Second

// Options say how autoscalers work; the fields are those of
// kube-controller-manager's flags --horizontal-pod-autoscaler-*.
type Options struct {
	Workers int
	// Period is the pause between looks at an autoscaler's metrics.
	Period time.Duration
	// DownscaleStabilization is how long a higher recommendation holds, where
	// behavior doesn't say.
	DownscaleStabilization time.Duration
	// Tolerance is by how much usage may be off without scaling, where behavior
	// doesn't say: 0.1 is a tenth.
	Tolerance float64
	Startup   Startup
}

type controller struct {
	Options
	client    kubernetes.Interface
	events    record.EventRecorder
	log       *slog.Logger
	clock     clock.PassiveClock
	lister    autoscalinglisters.HorizontalPodAutoscalerLister
	store     cache.Store
	pods      corelisters.PodLister
	scales    scale.ScalesGetter
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	sources   *sources
	selectors *selectors
	tracker   freshness.Tracker
	queue     *reconcile.Queue[cache.ObjectName]

	mu        sync.Mutex
	histories map[cache.ObjectName]*history
}

// Setup is the horizontal-pod-autoscaler-controller.
func Setup(o Options) reconcile.Setup {
	return func(c *reconcile.Controller) error {
		register()
		autoscalers, pods := c.Informers.Autoscaling().V2().HorizontalPodAutoscalers(), c.Informers.Core().V1().Pods()
		known := memory.NewMemCacheClient(c.Client.Discovery())
		mapper := restmapper.NewDeferredDiscoveryRESTMapper(known)
		scales, err := scale.NewForConfig(c.Config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(known))
		if err != nil {
			return fmt.Errorf("make a client for scales: %w", err)
		}
		sources, err := newSources(c.Config, mapper, known)
		if err != nil {
			return err
		}
		x := &controller{
			Options: o, client: c.Client, events: c.Recorder("horizontal-pod-autoscaler"), log: c.Log, clock: c.Clock, lister: autoscalers.Lister(),
			store: autoscalers.Informer().GetStore(), pods: pods.Lister(), scales: scales, mapper: mapper, sources: sources,
			selectors: newSelectors(), histories: map[cache.ObjectName]*history{},
		}
		x.queue = reconcile.NewQueue(c, "horizontalpodautoscaler", o.Workers, x.sync)
		c.Every(rediscover, func(context.Context) {
			x.mapper.Reset()
			x.sources.versions.Invalidate()
		})
		controlled.Set(0)
		if err := c.Need(pods.Informer()); err != nil {
			return err
		}
		return c.Handle(autoscalers.Informer(), reconcile.Events[*autoscalingv2.HorizontalPodAutoscaler]{
			Add: func(hpa *autoscalingv2.HorizontalPodAutoscaler) {
				controlled.Inc()
				// Nobody's, until its target's scale says whose pods they are.
				x.selectors.put(cache.MetaObjectToName(hpa), labels.Nothing())
				x.queue.Add(cache.MetaObjectToName(hpa))
			},
			Update: func(before, hpa *autoscalingv2.HorizontalPodAutoscaler) {
				if before.Generation != hpa.Generation {
					x.queue.Add(cache.MetaObjectToName(hpa))
				}
			},
			Delete: func(hpa *autoscalingv2.HorizontalPodAutoscaler) {
				controlled.Dec()
				x.selectors.delete(cache.MetaObjectToName(hpa))
				x.queue.Add(cache.MetaObjectToName(hpa))
			},
		})
	}
}

func (x *controller) sync(ctx context.Context, name cache.ObjectName) error {
	if !x.tracker.Fresh(name) {
		stale.WithLabelValues(autoscalingv2.GroupName, "horizontalpodautoscalers").Inc()
		x.queue.AddAfter(name, freshness.Recheck)
		return nil
	}
	hpa, err := x.lister.HorizontalPodAutoscalers(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		x.tracker.Forget(name)
		desiredCount.DeleteLabelValues(name.Namespace, name.Name)
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.histories, name)
		return nil
	}
	if err != nil {
		return err
	}
	x.queue.AddAfter(name, x.Period)
	if err := x.reconcile(ctx, hpa.DeepCopy()); err != nil {
		// Conditions and events tell the user; the next look is the next try.
		x.log.Debug("an autoscaler can't do its work", "autoscaler", name, "err", err)
	}
	return nil
}

// history is that of an autoscaler, which only its worker uses.
func (x *controller) history(name cache.ObjectName) *history {
	x.mu.Lock()
	defer x.mu.Unlock()
	h, ok := x.histories[name]
	if !ok {
		h = &history{}
		x.histories[name] = h
	}
	return h
}
