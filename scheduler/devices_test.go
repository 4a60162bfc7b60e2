package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"
)

var claimResource = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}

// serveClaims gives claims resource versions, as an API does, injects the faults
// that bindings have into writes of claims, too, and checks at each that no
// device is had twice.
func (a *api) serveClaims() {
	a.PrependReactor("update", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		claim := action.(clienttesting.UpdateAction).GetObject().(*resourceapi.ResourceClaim)
		written, err := a.writeClaim(claim.Name, func(live *resourceapi.ResourceClaim) error {
			if live.UID != claim.UID || live.ResourceVersion != claim.ResourceVersion {
				return apierrors.NewConflict(claimResource.GroupResource(), claim.Name, errors.New("it was changed"))
			}
			if action.GetSubresource() == "status" {
				live.Status = *claim.Status.DeepCopy()
			} else {
				live.Finalizers = slices.Clone(claim.Finalizers)
			}
			return nil
		})
		return true, written, err
	})
	a.PrependReactor("patch", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		var what struct {
			Status struct{ ReservedFor []struct{ UID types.UID } }
		}
		if err := json.Unmarshal(patch.GetPatch(), &what); err != nil {
			return true, nil, err
		}
		written, err := a.writeClaim(patch.GetName(), func(live *resourceapi.ResourceClaim) error {
			live.Status.ReservedFor = slices.DeleteFunc(live.Status.ReservedFor, func(r resourceapi.ResourceClaimConsumerReference) bool {
				return r.UID == what.Status.ReservedFor[0].UID
			})
			return nil
		})
		return true, written, err
	})
}

// writeClaim is not called by two at a time: the fake serves one request after
// the other.
func (a *api) writeClaim(name string, change func(*resourceapi.ResourceClaim) error) (*resourceapi.ResourceClaim, error) {
	fault := a.fault()
	switch fault {
	case refused:
		return nil, apierrors.NewForbidden(claimResource.GroupResource(), name, errors.New("injected"))
	case lostRequest:
		return nil, errors.New("connection reset")
	}
	object, err := a.Tracker().Get(claimResource, "default", name)
	if err != nil {
		return nil, err
	}
	claim := object.(*resourceapi.ResourceClaim).DeepCopy()
	if err := change(claim); err != nil {
		return nil, err
	}
	version, _ := strconv.Atoi(claim.ResourceVersion)
	claim.ResourceVersion = strconv.Itoa(version + 1)
	if err := a.Tracker().Update(claimResource, claim, "default"); err != nil {
		return nil, err
	}
	a.checkDevices()
	if fault == lostAnswer {
		return nil, errors.New("connection reset")
	}
	return claim, nil
}

func (a *api) checkDevices() {
	list, err := a.Tracker().List(claimResource, resourceapi.SchemeGroupVersion.WithKind("ResourceClaim"), "default")
	if err != nil {
		a.t.Error(err)
		return
	}
	of := map[string]string{}
	for _, claim := range list.(*resourceapi.ResourceClaimList).Items {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			device := result.Pool + "/" + result.Device
			if other := of[device]; other != "" {
				a.t.Errorf("%s and %s both have %s", claim.Name, other, device)
			}
			of[device] = claim.Name
		}
	}
}

func (a *api) addDevices(node string, n int) {
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourceapi.ResourceSliceSpec{
		Driver: "d.example.com", NodeName: ptr.To(node), Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
	}}
	for i := range n {
		slice.Spec.Devices = append(slice.Spec.Devices, resourceapi.Device{Name: fmt.Sprint("device-", i)})
	}
	if _, err := a.ResourceV1().ResourceSlices().Create(context.Background(), slice, metav1.CreateOptions{}); err != nil {
		a.t.Error(err)
	}
}

func (a *api) addClaim(name string) {
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), ResourceVersion: "1"}}
	claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{{Name: "r", Exactly: &resourceapi.ExactDeviceRequest{
		DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1,
	}}}
	if _, err := a.ResourceV1().ResourceClaims("default").Create(context.Background(), claim, metav1.CreateOptions{}); err != nil {
		a.t.Error(err)
	}
}

// Pods come and go while writes to their claims and their bindings fail in every
// way, and schedulers take over from each other: no device is had by two claims,
// and in the end every pod for which there is a device has one.
func TestDevicesInChurn(t *testing.T) {
	a := newAPI(t)
	a.serveClaims()
	g := rand.New(rand.NewPCG(3, 9))
	var faults sync.Mutex
	chance, faulty := rand.New(rand.NewPCG(4, 9)), true
	a.fault = func() fault {
		faults.Lock()
		defer faults.Unlock()
		if !faulty || chance.IntN(3) > 0 {
			return none
		}
		return fault(1 + chance.IntN(3))
	}
	class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	if _, err := a.ResourceV1().DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b", "c"} {
		a.addNode(node, "4")
		a.addDevices(node, 2)
	}
	_, stop := a.start(nil)
	left := map[string]bool{}
	remove := func(name string) {
		a.deletePod(name)
		delete(left, name)
		// As the resourceclaim-controller does it, with whatever the scheduler is
		// doing meanwhile.
		if err := a.Tracker().Delete(claimResource, "default", name); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
	for i := range 200 {
		name := fmt.Sprint("pod-", i)
		a.addClaim(name)
		a.addPod(name, "10m", func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "x", ResourceClaimName: ptr.To(name)}}
		})
		left[name] = true
		for len(left) > 5+g.IntN(5) {
			for name := range left {
				remove(name)
				break
			}
		}
		if i%40 == 39 {
			stop()
			_, stop = a.start(nil)
		}
	}
	for name := range left {
		if len(left) <= 6 {
			break
		}
		remove(name)
	}
	faults.Lock()
	faulty = false
	faults.Unlock()
	for name := range left {
		a.await(name+" has a node", func() bool { return a.node(name) != "" })
	}
	stop()
}

// Pods that share a claim wait while it is given a device, and then go where that
// is; also when the first one can't be bound.
func TestSharedClaimInFlight(t *testing.T) {
	a := newAPI(t)
	a.serveClaims()
	n := 0
	a.fault = func() fault { n++; return []fault{refused, none, lostAnswer, none, lostRequest}[n%5] }
	class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	if _, err := a.ResourceV1().DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		a.addNode(node, "4")
		a.addDevices(node, 1)
	}
	_, stop := a.start(nil)
	defer stop()
	for i := range 8 {
		a.addPod(fmt.Sprint(i), "10m", func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "x", ResourceClaimName: ptr.To("shared")}}
		})
	}
	a.addClaim("shared")
	for i := range 8 {
		a.await(fmt.Sprint(i)+" has a node", func() bool { return a.node(fmt.Sprint(i)) != "" })
		if a.node(fmt.Sprint(i)) != a.node("0") {
			t.Errorf("%d is on %s", i, a.node(fmt.Sprint(i)))
		}
	}
}
