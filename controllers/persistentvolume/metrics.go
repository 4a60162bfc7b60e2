package persistentvolume

import (
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	translation "k8s.io/csi-translation-lib"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers/reconcile"
)

var (
	retroactive = metrics.NewCounter(&metrics.CounterOpts{
		Name:           "retroactive_storageclass_total",
		Help:           "Total number of retroactive StorageClass assignments to persistent volume claim",
		StabilityLevel: metrics.ALPHA,
	})
	retroactiveErrors = metrics.NewCounter(&metrics.CounterOpts{
		Name:           "retroactive_storageclass_errors_total",
		Help:           "Total number of failed retroactive StorageClass assignments to persistent volume claim",
		StabilityLevel: metrics.ALPHA,
	})
	durations = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name:           "volume_operation_total_seconds",
		Help:           "Storage operation end to end duration in seconds",
		Buckets:        []float64{.1, .25, .5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600},
		StabilityLevel: metrics.BETA,
	}, []string{"plugin_name", "operation_name"})
	operationErrors = metrics.NewCounterVec(&metrics.CounterOpts{
		Name:           "volume_operation_errors_total",
		Help:           "Total volume operation errors",
		StabilityLevel: metrics.ALPHA,
	}, []string{"plugin_name", "operation_name"})
	counting counts
	register = sync.OnceFunc(func() {
		legacyregistry.MustRegister(retroactive, retroactiveErrors, durations, operationErrors)
		legacyregistry.CustomMustRegister(&counting)
	})

	totalDesc       = countDesc("total_pv_count", "Gauge measuring total number of persistent volumes", "plugin_name", "volume_mode")
	boundDesc       = countDesc("bound_pv_count", "Gauge measuring number of persistent volume currently bound", "storage_class")
	unboundDesc     = countDesc("unbound_pv_count", "Gauge measuring number of persistent volume currently unbound", "storage_class")
	boundClaimDesc  = countDesc("bound_pvc_count", "Gauge measuring number of persistent volume claim currently bound", "namespace", "storage_class", "volume_attributes_class")
	unboundClaimDec = countDesc("unbound_pvc_count", "Gauge measuring number of persistent volume claim currently unbound", "namespace", "storage_class", "volume_attributes_class")
)

func countDesc(name, help string, labels ...string) *metrics.Desc {
	return metrics.NewDesc("pv_collector_"+name, help, labels, nil, metrics.ALPHA, "")
}

// ended counts an operation that a driver did, if it did one: an error is met on
// the way and tried again.
func (x *controller) ended(key string, err error) {
	if err != nil {
		if op, runs := x.operations.Running(key); runs {
			operationErrors.WithLabelValues(op.Plugin, op.Name).Inc()
		}
		return
	}
	if op, took, ran := x.operations.Ended(key); ran {
		durations.WithLabelValues(op.Plugin, op.Name).Observe(took.Seconds())
	}
}

// counts counts volumes and claims when metrics are read, while the controller
// works.
type counts struct {
	metrics.BaseStableCollector
	stores atomic.Pointer[stores]
}

type stores struct{ volumes, claims cache.Store }

func measure(c *reconcile.Controller, volumes, claims cache.Store) {
	register()
	these := &stores{volumes, claims}
	counting.stores.Store(these)
	c.OnEnd(func() { counting.stores.CompareAndSwap(these, nil) })
}

func (c *counts) DescribeWithStability(out chan<- *metrics.Desc) {
	for _, desc := range []*metrics.Desc{totalDesc, boundDesc, unboundDesc, boundClaimDesc, unboundClaimDec} {
		out <- desc
	}
}

func (c *counts) CollectWithStability(out chan<- metrics.Metric) {
	stores := c.stores.Load()
	if stores == nil {
		return
	}
	type series struct {
		desc    *metrics.Desc
		a, b, c string
	}
	count := map[series]int{}
	for _, object := range stores.volumes.List() {
		volume, ok := object.(*corev1.PersistentVolume)
		if !ok {
			continue
		}
		count[series{desc: totalDesc, a: plugin(volume), b: string(ptr.Deref(volume.Spec.VolumeMode, corev1.PersistentVolumeFilesystem))}]++
		desc := unboundDesc
		if volume.Status.Phase == corev1.VolumeBound {
			desc = boundDesc
		}
		count[series{desc: desc, a: volume.Spec.StorageClassName}]++
	}
	for _, object := range stores.claims.List() {
		claim, ok := object.(*corev1.PersistentVolumeClaim)
		if !ok {
			continue
		}
		desc := unboundClaimDec
		if claim.Status.Phase == corev1.ClaimBound {
			desc = boundClaimDesc
		}
		count[series{desc, claim.Namespace, volumehelpers.GetPersistentVolumeClaimClass(claim), ptr.Deref(claim.Spec.VolumeAttributesClassName, "")}]++
	}
	for s, n := range count {
		values := []string{s.a, s.b, s.c}
		switch s.desc {
		case totalDesc:
			values = values[:2]
		case boundDesc, unboundDesc:
			values = values[:1]
		}
		out <- metrics.NewLazyConstMetric(s.desc, metrics.GaugeValue, float64(n), values...)
	}
}

// plugin is what upstream calls the plugin of a volume.
func plugin(volume *corev1.PersistentVolume) string {
	source := &volume.Spec.PersistentVolumeSource
	switch {
	case source.CSI != nil:
		return "kubernetes.io/csi:" + source.CSI.Driver
	case source.HostPath != nil:
		return "kubernetes.io/host-path"
	case source.NFS != nil:
		return "kubernetes.io/nfs"
	case source.ISCSI != nil:
		return "kubernetes.io/iscsi"
	case source.FC != nil:
		return "kubernetes.io/fc"
	}
	if name, err := translation.New().GetInTreePluginNameFromSpec(volume, nil); err == nil && name != "" {
		return name
	}
	return "N/A"
}
