package attach

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/howdah/howdah/controllers/reconcile"
)

// The names and values of labels are upstream's.
const (
	attaching = "volume_attach"
	detaching = "volume_detach"

	succeeded = "success"
	failed    = "fail-unknown"

	actual  = "actual_state_of_world"
	desired = "desired_state_of_world"
)

var (
	forced = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "attach_detach_controller",
		Name:           "attachdetach_controller_forced_detaches",
		Help:           "Number of times the A/D Controller performed a forced detach",
		StabilityLevel: metrics.ALPHA,
	}, []string{"reason"})
	durations = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name:           "storage_operation_duration_seconds",
		Help:           "Storage operation duration",
		Buckets:        []float64{.1, .25, .5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600},
		StabilityLevel: metrics.BETA,
	}, []string{"volume_plugin", "operation_name", "status", "migrated"})
	inUseDesc = metrics.NewDesc("storage_count_attachable_volumes_in_use", "Measure number of volumes in use", []string{"node", "volume_plugin"}, nil, metrics.ALPHA, "")
	totalDesc = metrics.NewDesc("attachdetach_controller_total_volumes", "Number of volumes in A/D Controller", []string{"plugin_name", "state"}, nil, metrics.ALPHA, "")

	counting counts
	register = sync.OnceFunc(func() {
		legacyregistry.MustRegister(forced, durations)
		legacyregistry.CustomMustRegister(&counting)
	})
)

// ended counts an operation on an attachment whose outcome is known.
func (x *controller) ended(attachment, status string) {
	op, took, ran := x.operations.Ended(attachment)
	if !ran {
		return
	}
	durations.WithLabelValues(op.Plugin, op.Name, status, strconv.FormatBool(op.Migrated)).Observe(took.Seconds())
	if status == failed {
		x.operations.Begin(attachment, op) // the driver tries again
	}
}

// counts counts volumes when metrics are read, while the controller works.
type counts struct {
	metrics.BaseStableCollector
	of atomic.Pointer[controller]
}

func (x *controller) measure(c *reconcile.Controller) {
	register()
	counting.of.Store(x)
	c.OnEnd(func() { counting.of.CompareAndSwap(x, nil) })
}

func (c *counts) DescribeWithStability(out chan<- *metrics.Desc) {
	out <- inUseDesc
	out <- totalDesc
}

func (c *counts) CollectWithStability(out chan<- metrics.Metric) {
	x := c.of.Load()
	if x == nil {
		return
	}
	inUse, total := x.count()
	for key, n := range inUse {
		out <- metrics.NewLazyConstMetric(inUseDesc, metrics.GaugeValue, float64(n), key[0], key[1])
	}
	for key, n := range total {
		out <- metrics.NewLazyConstMetric(totalDesc, metrics.GaugeValue, float64(n), key[0], key[1])
	}
}

// count is how many volumes pods use, by node and plugin, and how many volumes
// nodes have and are to have, by plugin and which of these.
func (x *controller) count() (inUse, total map[[2]string]int) {
	inUse, total = map[[2]string]int{}, map[[2]string]int{}
	wanted := map[[2]string]bool{}
	for _, object := range x.pods.GetStore().List() {
		pod, ok := object.(*corev1.Pod)
		if !ok || pod.Spec.NodeName == "" {
			continue
		}
		node, err := x.nodes.Get(pod.Spec.NodeName)
		attaches := err == nil && isManaged(node) && !over(pod)
		for i := range pod.Spec.Volumes {
			v, err := x.of(pod, &pod.Spec.Volumes[i])
			if err != nil || v == nil {
				continue
			}
			inUse[[2]string{pod.Spec.NodeName, plugin(v.name)}]++
			if key := [2]string{pod.Spec.NodeName, v.name}; attaches && !wanted[key] {
				wanted[key] = true
				total[[2]string{plugin(v.name), desired}]++
			}
		}
	}
	for _, object := range x.attachments.GetStore().List() {
		if attachment, ok := object.(*storagev1.VolumeAttachment); ok {
			if name, ours := x.nameOf(attachment); ours {
				total[[2]string{plugin(name), actual}]++
			}
		}
	}
	for _, name := range x.ledger.plainVolumes() {
		total[[2]string{plugin(name), actual}]++
	}
	return inUse, total
}

// plugin is what upstream calls the plugin of a volume, by the volume's name.
func plugin(name string) string {
	if driver, _, ok := parseCSI(name); ok {
		return "kubernetes.io/csi:" + driver
	}
	if strings.HasPrefix(name, iscsiPrefix) {
		return "kubernetes.io/iscsi"
	}
	return "kubernetes.io/fc"
}
