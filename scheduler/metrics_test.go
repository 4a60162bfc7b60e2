package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// What happens to pods is measured by kube-scheduler's names and labels.
func TestMetrics(t *testing.T) {
	a := newAPI(t)
	a.addNode("a", "2")
	a.addNode("b", "2")
	s, stop := a.start(nil)
	defer stop()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Collectors()...)
	for i := range 2 {
		a.addPod(fmt.Sprint("low", i), "1500m", nil)
	}
	a.await("both are bound", func() bool { return a.node("low0") != "" && a.node("low1") != "" })
	a.addPod("high", "1500m", func(p *corev1.Pod) { p.Spec.Priority = ptr.To(int32(10)) })
	a.await("room is made for the important pod", func() bool { return a.node("high") != "" })
	stop()
	s.lock()
	s.measure()
	s.mu.Unlock()
	got := map[string]bool{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			var labels []string
			for _, label := range metric.Label {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			slices.Sort(labels)
			got[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = true
		}
	}
	for _, want := range []string{
		"scheduler_framework_extension_point_duration_seconds{extension_point=PreFilter,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=Filter,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=Score,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=PostFilter,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=Reserve,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=PreBind,profile=default-scheduler,status=Success}",
		"scheduler_framework_extension_point_duration_seconds{extension_point=Bind,profile=default-scheduler,status=Success}",
		"scheduler_plugin_execution_duration_seconds{extension_point=PostFilter,plugin=DefaultPreemption,status=Success}",
		"scheduler_plugin_execution_duration_seconds{extension_point=Bind,plugin=DefaultBinder,status=Success}",
		"scheduler_plugin_evaluation_total{extension_point=Filter,plugin=NodeResourcesFit,profile=default-scheduler}",
		"scheduler_plugin_evaluation_total{extension_point=Score,plugin=ImageLocality,profile=default-scheduler}",
		"scheduler_event_handling_duration_seconds{event=NodeAdd}",
		"scheduler_event_handling_duration_seconds{event=AssignedPodDelete}",
		"scheduler_queued_entities{queue=active,type=pod}",
		"scheduler_queue_incoming_entities_total{event=UnscheduledPodAdd,queue=active,type=pod}",
		"scheduler_pending_pods{queue=unschedulable}",
		"scheduler_preemption_attempts_total{}",
		"scheduler_preemption_goroutines_execution_total{result=success}",
		"scheduler_preemption_goroutines_duration_seconds{result=success}",
		"scheduler_pod_scheduled_after_flush_total{}",
		"scheduler_schedule_attempts_total{profile=default-scheduler,result=scheduled}",
	} {
		if !got[want] {
			t.Errorf("there is no %s", want)
		}
	}
}
