package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

const driver = "devices.example.com"

// devices makes a node for each of the names, with so many devices, and a class
// for all of them that stands for example.com/gpu.
func (c *cluster) devices(each int, change func(*resourceapi.Device), nodes ...string) {
	c.Helper()
	for _, name := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("100")}
		must(c.client.CoreV1().Nodes().Create(c.ctx, node, metav1.CreateOptions{}))(c)
		slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "devices-of-" + name}, Spec: resourceapi.ResourceSliceSpec{
			Driver: driver, NodeName: ptr.To(name), Pool: resourceapi.ResourcePool{Name: name, Generation: 1, ResourceSliceCount: 1},
		}}
		for i := range each {
			device := resourceapi.Device{Name: fmt.Sprintf("device-%d", i)}
			if change != nil {
				change(&device)
			}
			slice.Spec.Devices = append(slice.Spec.Devices, device)
		}
		must(c.client.ResourceV1().ResourceSlices().Create(c.ctx, slice, metav1.CreateOptions{}))(c)
	}
	class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: resourceapi.DeviceClassSpec{
		Selectors:            []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: `device.driver == "` + driver + `"`}}},
		ExtendedResourceName: ptr.To("example.com/gpu"),
	}}
	must(c.client.ResourceV1().DeviceClasses().Create(c.ctx, class, metav1.CreateOptions{}))(c)
}

func oneDevice() resourceapi.ResourceClaimSpec {
	return resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
		Name: "gpu", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu"},
	}}}}
}

func (c *cluster) template(name string) {
	c.Helper()
	template := &resourceapi.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourceapi.ResourceClaimTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"from": name}}, Spec: oneDevice(),
	}}
	must(c.client.ResourceV1().ResourceClaimTemplates("default").Create(c.ctx, template, metav1.CreateOptions{}))(c)
}

// user makes a pod that tolerates whatever nodes are.
func (c *cluster) user(name string, change func(*corev1.PodSpec)) *corev1.Pod {
	c.Helper()
	return c.labelledUser(name, nil, change)
}

func (c *cluster) labelledUser(name string, labels map[string]string, change func(*corev1.PodSpec)) *corev1.Pod {
	c.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "x"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(0)),
	}}
	change(&pod.Spec)
	for {
		made, err := c.client.CoreV1().Pods("default").Create(c.ctx, pod, metav1.CreateOptions{})
		if err == nil {
			return made
		}
		if !apierrors.IsForbidden(err) || c.ctx.Err() != nil { // the ServiceAccount is still to come
			c.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func fromTemplate(name string) func(*corev1.PodSpec) {
	return func(spec *corev1.PodSpec) {
		spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: ptr.To(name)}}
		spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	}
}

func withClaim(name string) func(*corev1.PodSpec) {
	return func(spec *corev1.PodSpec) {
		spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: ptr.To(name)}}
		spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	}
}

func placed(pod *corev1.Pod) bool { return pod.Spec.NodeName != "" }

func unschedulable(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(p corev1.PodCondition) bool {
		return p.Type == corev1.PodScheduled && p.Reason == corev1.PodReasonUnschedulable
	})
}

// once fails the test if two claims have one device at the same time; the
// function it returns ends that.
func (c *cluster) once() (stop func()) {
	c.Helper()
	watcher := must(c.client.ResourceV1().ResourceClaims("default").Watch(c.ctx, metav1.ListOptions{}))(c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		of := map[string]string{} // claim by device
		for event := range watcher.ResultChan() {
			claim, ok := event.Object.(*resourceapi.ResourceClaim)
			if !ok {
				continue
			}
			id := string(claim.UID)
			maps.DeleteFunc(of, func(_, claim string) bool { return claim == id })
			if event.Type == watch.Deleted || claim.Status.Allocation == nil {
				continue
			}
			for _, result := range claim.Status.Allocation.Devices.Results {
				device := result.Pool + "/" + result.Device
				if other := of[device]; other != "" {
					c.Errorf("%s has %s, as %s has", claim.Name, device, other)
				}
				of[device] = id
			}
		}
	}()
	return func() { watcher.Stop(); <-done }
}

// Pods that want more devices than there are get each a device of their own, and
// the others wait until one is free.
func TestPodsFightForDevices(t *testing.T) {
	c := start(t, nil, "resourceclaim-controller", "garbagecollector", "serviceaccount")
	stop := c.once()
	defer stop()
	c.devices(2, nil, "a", "b")
	c.template("gpu")
	pods := c.client.CoreV1().Pods("default")
	var names []string
	for i := range 10 {
		names = append(names, c.user(fmt.Sprintf("pod-%d", i), fromTemplate("gpu")).Name)
	}
	for len(names) > 0 {
		want := min(4, len(names))
		var on []*corev1.Pod
		for {
			on = nil
			for _, name := range names {
				if pod := must(pods.Get(c.ctx, name, metav1.GetOptions{}))(t); placed(pod) {
					on = append(on, pod)
				}
			}
			if len(on) >= want || c.ctx.Err() != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(on) != want {
			t.Fatalf("%d pods have nodes, not %d", len(on), want)
		}
		if len(names) > 4 {
			for _, name := range names {
				if slices.ContainsFunc(on, func(p *corev1.Pod) bool { return p.Name == name }) {
					continue
				}
				waits := await(c, pods, name, unschedulable)
				i := slices.IndexFunc(waits.Status.Conditions, func(p corev1.PodCondition) bool { return p.Type == corev1.PodScheduled })
				if got := waits.Status.Conditions[i].Message; !strings.HasPrefix(got, "0/2 nodes are available: 2 cannot allocate all claims.") {
					t.Errorf("it says %q", got)
				}
			}
		}
		for _, pod := range on {
			claim := must(c.client.ResourceV1().ResourceClaims("default").Get(c.ctx, *pod.Status.ResourceClaimStatuses[0].ResourceClaimName, metav1.GetOptions{}))(t)
			if claim.Labels["from"] != "gpu" || claim.Annotations[resourceapi.PodResourceClaimAnnotation] != "gpu" || !metav1.IsControlledBy(claim, pod) ||
				len(claim.Status.ReservedFor) != 1 || claim.Status.ReservedFor[0].UID != pod.UID || claim.Status.Allocation.Devices.Results[0].Pool != pod.Spec.NodeName {
				t.Errorf("%s has %+v", pod.Name, claim)
			}
			if err := pods.Delete(c.ctx, pod.Name, *metav1.NewDeleteOptions(0)); err != nil {
				t.Fatal(err)
			}
			names = slices.DeleteFunc(names, func(name string) bool { return name == pod.Name })
		}
	}
	for c.ctx.Err() == nil {
		left := must(c.client.ResourceV1().ResourceClaims("default").List(c.ctx, metav1.ListOptions{}))(t)
		if len(left.Items) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("claims of pods that are gone are still there")
}

// A claim that the user made is shared, and loses its devices with its last user.
func TestSharedClaim(t *testing.T) {
	c := start(t, nil, "resourceclaim-controller", "serviceaccount")
	c.devices(1, nil, "a", "b")
	claims, pods := c.client.ResourceV1().ResourceClaims("default"), c.client.CoreV1().Pods("default")
	for _, name := range []string{"one", "two"} {
		c.user(name, withClaim("shared"))
	}
	must(claims.Create(c.ctx, &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Spec: oneDevice()}, metav1.CreateOptions{}))(t)
	one, two := await(c, pods, "one", placed), await(c, pods, "two", placed)
	claim := must(claims.Get(c.ctx, "shared", metav1.GetOptions{}))(t)
	if one.Spec.NodeName != two.Spec.NodeName || len(claim.Status.ReservedFor) != 2 || !slices.Contains(claim.Finalizers, resourceapi.Finalizer) {
		t.Errorf("%s and %s share %+v", one.Spec.NodeName, two.Spec.NodeName, claim)
	}
	if err := pods.Delete(c.ctx, "one", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	await(c, claims, "shared", func(claim *resourceapi.ResourceClaim) bool {
		return len(claim.Status.ReservedFor) == 1 && claim.Status.ReservedFor[0].UID == two.UID && claim.Status.Allocation != nil
	})
	must(pods.Patch(c.ctx, "two", "application/merge-patch+json", []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status"))(t)
	await(c, claims, "shared", func(claim *resourceapi.ResourceClaim) bool {
		return claim.Status.Allocation == nil && len(claim.Status.ReservedFor) == 0 && len(claim.Finalizers) == 0
	})
}

// Devices stand for an extended resource that nodes themselves don't have.
func TestDevicesStandForExtendedResources(t *testing.T) {
	c := start(t, nil, "resourceclaim-controller", "garbagecollector", "serviceaccount")
	stop := c.once()
	defer stop()
	c.devices(2, nil, "a")
	claims, pods := c.client.ResourceV1().ResourceClaims("default"), c.client.CoreV1().Pods("default")
	wants := func(spec *corev1.PodSpec) {
		spec.Containers[0].Resources.Limits = corev1.ResourceList{"example.com/gpu": resource.MustParse("2")}
	}
	c.user("first", wants)
	first := await(c, pods, "first", placed)
	status := first.Status.ExtendedResourceClaimStatus
	if status == nil || len(status.RequestMappings) != 1 || status.RequestMappings[0].ContainerName != "c" || status.RequestMappings[0].ResourceName != "example.com/gpu" {
		t.Fatalf("the pod says %+v", status)
	}
	claim := must(claims.Get(c.ctx, status.ResourceClaimName, metav1.GetOptions{}))(t)
	if !strings.HasPrefix(claim.Name, "first-extended-resources-") || len(claim.Status.Allocation.Devices.Results) != 2 || claim.Spec.Devices.Requests[0].Name != status.RequestMappings[0].RequestName ||
		claim.Status.ReservedFor[0].UID != first.UID || claim.Annotations[resourceapi.ExtendedResourceClaimAnnotation] != "true" {
		t.Errorf("its claim is %+v", claim)
	}
	c.user("second", wants)
	await(c, pods, "second", unschedulable)
	if err := pods.Delete(c.ctx, "first", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	await(c, pods, "second", placed)
}

// A pod waits for its device to be made ready, and gets another one if that
// fails.
func TestDevicesAreMadeReady(t *testing.T) {
	c := start(t, nil, "resourceclaim-controller", "serviceaccount")
	c.devices(1, func(d *resourceapi.Device) {
		d.BindingConditions, d.BindingFailureConditions = []string{"example.com/ready"}, []string{"example.com/broken"}
	}, "a", "b")
	claims, pods := c.client.ResourceV1().ResourceClaims("default"), c.client.CoreV1().Pods("default")
	must(claims.Create(c.ctx, &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: oneDevice()}, metav1.CreateOptions{}))(t)
	pod := c.user("pod", withClaim("gpu"))
	say := func(condition string) *resourceapi.ResourceClaim {
		t.Helper()
		claim := await(c, claims, "gpu", func(claim *resourceapi.ResourceClaim) bool {
			return claim.Status.Allocation != nil && len(claim.Status.ReservedFor) == 1 && len(claim.Status.Devices) == 0
		})
		if now := must(pods.Get(c.ctx, "pod", metav1.GetOptions{}))(t); placed(now) {
			t.Errorf("the pod is on %s before its device is ready", now.Spec.NodeName)
		}
		result := claim.Status.Allocation.Devices.Results[0]
		claim.Status.Devices = []resourceapi.AllocatedDeviceStatus{{Driver: result.Driver, Pool: result.Pool, Device: result.Device, Conditions: []metav1.Condition{
			{Type: condition, Status: metav1.ConditionTrue, Reason: "Tried", LastTransitionTime: metav1.Now()},
		}}}
		return must(claims.UpdateStatus(c.ctx, claim, metav1.UpdateOptions{}))(t)
	}
	// The first device breaks; what takes its place, if only itself, is ready.
	say("example.com/broken")
	say("example.com/ready")
	if after := await(c, pods, "pod", placed); after.UID != pod.UID {
		t.Errorf("another pod")
	}
	await(c, eventsAbout{c, "BindingConditionsPending"}, "pod", func(*corev1.Event) bool { return true })
}

// eventsAbout are the events of one reason, by the name of what they are about.
type eventsAbout struct {
	c      *cluster
	reason string
}

func (e eventsAbout) Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Event, error) {
	return e.c.client.CoreV1().Events("default").Get(ctx, name, options)
}

func (e eventsAbout) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.FieldSelector = strings.Replace(options.FieldSelector, "metadata.name=", "reason="+e.reason+",involvedObject.name=", 1)
	return e.c.client.CoreV1().Events("default").Watch(ctx, options)
}

// Taints keep pods from devices and evict them.
func TestDeviceTaints(t *testing.T) {
	c := start(t, nil, "resourceclaim-controller", "device-taint-eviction-controller", "garbagecollector", "serviceaccount")
	c.devices(1, nil, "a")
	c.template("gpu")
	pods, rules := c.client.CoreV1().Pods("default"), c.client.ResourceV1().DeviceTaintRules()
	c.user("victim", fromTemplate("gpu"))
	await(c, pods, "victim", placed)
	progress := func(rule *resourceapi.DeviceTaintRule) *metav1.Condition {
		return meta.FindStatusCondition(rule.Status.Conditions, resourceapi.DeviceTaintConditionEvictionInProgress)
	}
	rule := &resourceapi.DeviceTaintRule{ObjectMeta: metav1.ObjectMeta{Name: "what-if"}, Spec: resourceapi.DeviceTaintRuleSpec{
		DeviceSelector: &resourceapi.DeviceTaintSelector{Driver: ptr.To(driver)}, Taint: resourceapi.DeviceTaint{Key: "broken", Value: "yes", Effect: resourceapi.DeviceTaintEffectNone},
	}}
	must(rules.Create(c.ctx, rule, metav1.CreateOptions{}))(t)
	said := progress(await(c, rules, "what-if", func(rule *resourceapi.DeviceTaintRule) bool { return progress(rule) != nil }))
	if said.Reason != "NoEffect" || !strings.HasPrefix(said.Message, "1 published device selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if the effect was NoExecute.") {
		t.Errorf("a rule without effect says %+v", said)
	}
	rule.Name, rule.Spec.Taint.Effect = "now", resourceapi.DeviceTaintEffectNoExecute
	must(rules.Create(c.ctx, rule, metav1.CreateOptions{}))(t)
	awaitGone(c, pods, "victim")
	await(c, rules, "now", func(rule *resourceapi.DeviceTaintRule) bool {
		condition := progress(rule)
		return condition != nil && condition.Reason == "Completed" && condition.Message == "1 pod evicted since starting the controller."
	})
	await(c, eventsAbout{c, "DeviceTaintManagerEviction"}, "victim", func(e *corev1.Event) bool { return e.Message == "Marking for deletion" })
	c.user("next", fromTemplate("gpu"))
	await(c, pods, "next", unschedulable)
	if err := rules.Delete(c.ctx, "now", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(c, pods, "next", placed)
}
