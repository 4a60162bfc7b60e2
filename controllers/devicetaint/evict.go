package devicetaint

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	pods "github.com/howdah/howdah/controllers/pod"
)

// current are the slices of a pool's newest generation; the others are outdated.
func current(slices []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	var newest []*resourceapi.ResourceSlice
	for _, slice := range slices {
		if len(newest) > 0 && slice.Spec.Pool.Generation < newest[0].Spec.Pool.Generation {
			continue
		}
		if len(newest) > 0 && slice.Spec.Pool.Generation > newest[0].Spec.Pool.Generation {
			newest = newest[:0]
		}
		newest = append(newest, slice)
	}
	return newest
}

// taintsOf are the taints of a device that evict, with the UIDs of the rules that
// they are from; "" for those of its slice.
func (x *controller) taintsOf(device *resourceapi.DeviceRequestAllocationResult, rules []*resourceapi.DeviceTaintRule) (taints []resourceapi.DeviceTaint, from []types.UID) {
	for _, slice := range current(x.slicesOf(pool(device.Driver, device.Pool))) {
		for i := range slice.Spec.Devices {
			if slice.Spec.Devices[i].Name != device.Device {
				continue
			}
			for _, taint := range slice.Spec.Devices[i].Taints {
				if taint.Effect == resourceapi.DeviceTaintEffectNoExecute {
					taints, from = append(taints, taint), append(from, "")
				}
			}
		}
	}
	for _, rule := range rules {
		if rule.Spec.Taint.Effect == resourceapi.DeviceTaintEffectNoExecute && selects(rule, device.Driver, device.Pool, device.Device) {
			taints, from = append(taints, rule.Spec.Taint), append(from, rule.UID)
		}
	}
	return taints, from
}

// stays says until when a device's tolerations let its users stay, given a
// taint; false: for ever.
func stays(taint *resourceapi.DeviceTaint, tolerations []resourceapi.DeviceToleration) (time.Time, bool) {
	if taint.TimeAdded == nil {
		return time.Time{}, false // it doesn't evict yet
	}
	var least *int64
	for _, toleration := range tolerations {
		if toleration.Effect != resourceapi.DeviceTaintEffectNoExecute || !resourceclaim.ToleratesTaint(toleration, *taint) {
			continue
		}
		if toleration.TolerationSeconds == nil {
			return time.Time{}, false
		}
		if seconds := max(*toleration.TolerationSeconds, 0); least == nil || seconds < *least {
			least = &seconds
		}
	}
	until := taint.TimeAdded.Time
	if least != nil {
		until = until.Add(time.Duration(*least) * time.Second)
	}
	return until, true
}

// sentence says when a pod has to go, zero: never, and because of which rules.
func (x *controller) sentence(pod *corev1.Pod, rules []*resourceapi.DeviceTaintRule) (when time.Time, because map[types.UID]bool) {
	if pod.Spec.NodeName == "" {
		return time.Time{}, nil
	}
	because = map[types.UID]bool{}
	for name, made := range resourceclaim.PodClaims(pod) {
		claim := x.claimOf(pod.Namespace, name)
		if claim == nil || made && resourceclaim.IsForPod(pod, claim, false) != nil || !resourceclaim.IsReservedForPod(pod, claim, false) {
			continue
		}
		devices := results(claim)
		for i := range devices {
			taints, from := x.taintsOf(&devices[i], rules)
			for j := range taints {
				until, goes := stays(&taints[j], devices[i].Tolerations)
				if !goes {
					continue
				}
				because[from[j]] = true
				if when.IsZero() || until.Before(when) {
					when = until
				}
			}
		}
	}
	return when, because
}

// syncPod deletes a pod when its time has come.
func (x *controller) syncPod(ctx context.Context, name types.NamespacedName) error {
	pod, err := x.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		x.sentences.Lift(name)
		return nil
	}
	if err != nil {
		return err
	}
	rules, err := x.rules.List(labels.Everything())
	if err != nil {
		return err
	}
	when, because := x.sentence(pod, rules)
	if when.IsZero() || pod.DeletionTimestamp != nil {
		if x.sentences.Lift(name) == pod.UID && pod.DeletionTimestamp == nil {
			x.events.Event(pod, corev1.EventTypeNormal, "DeviceTaintManagerEviction", "Cancelling deletion")
		}
		return nil
	}
	x.sentences.Pass(pod, x.clock.Now())
	defer func() {
		for _, rule := range rules {
			if because[rule.UID] {
				x.queue.AddAfter(key{rule: rule.Name}, statusPeriod)
			}
		}
	}()
	if left := when.Sub(x.clock.Now()); left > 0 {
		x.queue.AddAfter(key{pod: name}, left)
		return nil
	}
	deleted, err := x.evict(ctx, pod)
	if err != nil {
		return err
	}
	x.sentences.Lift(name)
	if deleted {
		deletions.Inc()
		latency.Observe(x.clock.Since(when).Seconds())
		x.mu.Lock()
		for _, rule := range rules {
			if because[rule.UID] {
				x.evicted[rule.UID]++
			}
		}
		x.mu.Unlock()
	}
	return nil
}

// evict tells a pod why it goes and deletes it; false: it was going already.
func (x *controller) evict(ctx context.Context, pod *corev1.Pod) (bool, error) {
	live, err := x.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if live.UID != pod.UID || live.DeletionTimestamp != nil {
		return false, nil
	}
	x.events.Event(pod, corev1.EventTypeNormal, "DeviceTaintManagerEviction", "Marking for deletion")
	return pods.Evict(ctx, x.client, live, "DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint", x.clock.Now())
}

var (
	deletions = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "device_taint_eviction_controller",
		Name:           "pod_deletions_total",
		Help:           "Total number of Pods deleted by DeviceTaintEvictionController since its start.",
		StabilityLevel: metrics.ALPHA,
	})
	latency = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "device_taint_eviction_controller",
		Name:           "pod_deletion_duration_seconds",
		Help:           "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion via DeviceTaintEvictionController.",
		Buckets:        []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240},
		StabilityLevel: metrics.ALPHA,
	})
	register = sync.OnceFunc(func() { legacyregistry.MustRegister(deletions, latency) })
)
