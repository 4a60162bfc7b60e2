package device

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

type fixedSlices []*resourceapi.ResourceSlice

func (s fixedSlices) ListPatchedResourceSlices() ([]*resourceapi.ResourceSlice, error) { return s, nil }

// A bench has one node with one device, and two claims for it. No informer tells
// of what is written.
type bench struct {
	*testing.T
	client *fake.Clientset
	plugin placement.Plugin
	node   *state.Node
}

func newBench(t *testing.T) *bench {
	client := fake.NewClientset()
	cluster := state.NewCluster()
	cluster.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
	classes := informers.NewSharedInformerFactory(client, 0).Resource().V1().DeviceClasses()
	class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	if err := classes.Informer().GetIndexer().Add(class); err != nil {
		t.Fatal(err)
	}
	slice := &resourceapi.ResourceSlice{Spec: resourceapi.ResourceSliceSpec{
		Driver: "d.example.com", NodeName: ptr.To("n"), Pool: resourceapi.ResourcePool{Name: "n", Generation: 1, ResourceSliceCount: 1},
		Devices: []resourceapi.Device{{Name: "only"}},
	}}
	devices := New(Options{
		Client: client, Classes: classes.Lister(), Slices: fixedSlices{slice}, Clock: clock.RealClock{}, Leads: func() bool { return true },
	})
	devices.ClassChanged(nil, class)
	for _, name := range []string{"one", "two"} {
		claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: "1"}}
		claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{{Name: "r", Exactly: &resourceapi.ExactDeviceRequest{
			DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1,
		}}}
		if err := client.Tracker().Add(claim); err != nil {
			t.Fatal(err)
		}
		devices.ClaimChanged(nil, claim)
	}
	return &bench{T: t, client: client, plugin: devices.Plugin("default-scheduler", DefaultArgs()), node: cluster.Node("n")}
}

// find looks for the claim's device.
func (b *bench) find(claim string) (placement.Prepared, *placement.Status) {
	b.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "user-of-" + claim, UID: types.UID("user-of-" + claim)}}
	pod.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "x", ResourceClaimName: ptr.To(claim)}}
	prepared, status := b.plugin.Prepare(state.NewPod(pod), nil)
	if status != nil {
		return nil, status
	}
	return prepared, prepared.Filter(b.node)
}

func (b *bench) reserve(claim string) placement.Reservation {
	b.Helper()
	prepared, status := b.find(claim)
	if status != nil {
		b.Fatalf("%s gets no device: %+v", claim, status)
	}
	reservation, status := prepared.(placement.Reserver).Reserve("n")
	if status != nil {
		b.Fatalf("%s gets no device: %+v", claim, status)
	}
	return reservation
}

// free tells whether the claim "two" can have the device.
func (b *bench) free() bool {
	b.Helper()
	_, status := b.find("two")
	return status == nil
}

// onStatus does something at the first write of a claim's status.
func (b *bench) onStatus(do func(claim *resourceapi.ResourceClaim) error) {
	first := true
	b.client.PrependReactor("update", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "status" || !first {
			return false, nil, nil
		}
		first = false
		err := do(action.(clienttesting.UpdateAction).GetObject().(*resourceapi.ResourceClaim))
		return err != nil, nil, err
	})
}

func (b *bench) store(claim *resourceapi.ResourceClaim) {
	if err := b.client.Tracker().Update(resourceapi.SchemeGroupVersion.WithResource("resourceclaims"), claim, "default"); err != nil {
		b.Error(err)
	}
}

// However the write ends, the device is free only if it is certain that the claim
// doesn't have it.
func TestDeviceStaysTakenUntilItIsCertain(t *testing.T) {
	group := resourceapi.Resource("resourceclaims")
	for name, test := range map[string]struct {
		status func(b *bench, claim *resourceapi.ResourceClaim) error
		fails  string
	}{
		"written": {status: func(*bench, *resourceapi.ResourceClaim) error { return nil }},
		"lost":    {status: func(*bench, *resourceapi.ResourceClaim) error { return errors.New("connection reset") }},
		"the answer is lost": {status: func(b *bench, claim *resourceapi.ResourceClaim) error {
			b.store(claim.DeepCopy())
			return errors.New("connection reset")
		}},
		"changed by others": {status: func(*bench, *resourceapi.ResourceClaim) error {
			return apierrors.NewConflict(group, "one", errors.New("it was changed"))
		}},
		"refused": {fails: "forbidden", status: func(*bench, *resourceapi.ResourceClaim) error {
			return apierrors.NewForbidden(group, "one", errors.New("on purpose"))
		}},
		"allocated by others": {fails: "got allocated elsewhere", status: func(b *bench, claim *resourceapi.ResourceClaim) error {
			other := claim.DeepCopy()
			other.Status.ReservedFor = nil
			other.Status.Allocation.Devices.Results[0].Device = "another"
			b.store(other)
			return apierrors.NewConflict(group, "one", errors.New("it was changed"))
		}},
		"deleted": {fails: "got deleted", status: func(b *bench, claim *resourceapi.ResourceClaim) error {
			if err := b.client.Tracker().Delete(resourceapi.SchemeGroupVersion.WithResource("resourceclaims"), "default", "one"); err != nil {
				b.Error(err)
			}
			return errors.New("connection reset")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.onStatus(func(claim *resourceapi.ResourceClaim) error { return test.status(b, claim) })
			reservation := b.reserve("one")
			if b.free() {
				t.Error("the device is free while it is on its way")
			}
			if _, status := b.find("one"); status == nil || !strings.Contains(status.Reasons[0], "in the process of being allocated") {
				t.Errorf("another pod with the claim: %+v", status)
			}
			err := reservation.Bind(t.Context())
			if test.fails == "" {
				if err != nil || b.free() {
					t.Errorf("%v; free: %t", err, b.free())
				}
				claim, err := b.client.ResourceV1().ResourceClaims("default").Get(t.Context(), "one", metav1.GetOptions{})
				if err != nil || claim.Status.Allocation == nil || len(claim.Status.ReservedFor) != 1 {
					t.Errorf("the claim is %+v, %v", claim, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v, want %q", err, test.fails)
			}
			if b.free() {
				t.Error("the device is free before it is given back")
			}
			reservation.Undo(t.Context())
			if !b.free() {
				t.Error("the device stays taken")
			}
		})
	}
}

// A scheduler that doesn't lead any more writes nothing, and lets go of nothing.
func TestWritesOnlyWhileLeading(t *testing.T) {
	b := newBench(t)
	b.plugin.(*plugin).Leads = func() bool { return false }
	reservation := b.reserve("one")
	if err := reservation.Bind(context.Background()); err == nil || b.free() {
		t.Errorf("%v; free: %t", err, b.free())
	}
	for _, action := range b.client.Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("%s", action.GetVerb())
		}
	}
}
