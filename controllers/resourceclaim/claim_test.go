package resourceclaim

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/lru"
)

func aPod(uid types.UID, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: uid}, Spec: corev1.PodSpec{NodeName: "a"}}
	for _, c := range change {
		c(p)
	}
	return p
}

func ended(p *corev1.Pod)    { p.Status.Phase = corev1.PodSucceeded }
func failed(p *corev1.Pod)   { p.Status.Phase = corev1.PodFailed }
func leaving(p *corev1.Pod)  { p.DeletionTimestamp = &metav1.Time{} }
func homeless(p *corev1.Pod) { p.Spec.NodeName = "" }

func aClaim(change ...func(*resourceapi.ResourceClaim)) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "gpu", UID: "claim"}}
	for _, f := range change {
		f(c)
	}
	return c
}

// allocated has devices, and the finalizer that goes with them.
func allocated(c *resourceapi.ResourceClaim) {
	c.Finalizers = []string{"mine", resourceapi.Finalizer}
	c.Status.Allocation = &resourceapi.AllocationResult{}
}

func foreign(c *resourceapi.ResourceClaim) {
	c.Status.Allocation = &resourceapi.AllocationResult{}
}

func deleted(c *resourceapi.ResourceClaim) { c.DeletionTimestamp = &metav1.Time{} }

func reserved(name string, uid types.UID) func(*resourceapi.ResourceClaim) {
	return func(c *resourceapi.ResourceClaim) {
		c.Status.ReservedFor = append(c.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{Resource: "pods", Name: name, UID: uid})
	}
}

func reservedByWorkload(c *resourceapi.ResourceClaim) {
	c.Status.ReservedFor = append(c.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{APIGroup: "example.org", Resource: "workloads", Name: "w", UID: "w"})
}

func madeFor(uid types.UID) func(*resourceapi.ResourceClaim) {
	return func(c *resourceapi.ResourceClaim) {
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web", UID: uid, Controller: new(true)}}
	}
}

func TestSyncClaim(t *testing.T) {
	const freed = "status: devices false, for ; finalizers mine"
	for _, test := range []struct {
		name  string
		claim *resourceapi.ResourceClaim
		pod   *corev1.Pod // that the informer has
		live  *corev1.Pod // that the API has
		gone  types.UID   // of a pod whose end was seen
		want  string      // what is written
	}{
		{name: "gone"},
		{name: "nobody's", claim: aClaim()},
		{name: "with devices that nobody has reserved", claim: aClaim(allocated)},
		{name: "of a pod that runs", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1")},
		{name: "of a pod that ended", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1", ended), want: freed},
		{name: "of a pod that failed", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1", failed), want: freed},
		{name: "of a pod that a node is stopping", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1", leaving)},
		{name: "of a pod that leaves without a node", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1", leaving, homeless), want: freed},
		{name: "of a pod that nobody knows", claim: aClaim(allocated, reserved("web", "1")), want: freed},
		{name: "of a pod that only the API knows", claim: aClaim(allocated, reserved("web", "1")), live: aPod("1")},
		{name: "of a pod whose name another has", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("2"), want: freed},
		{name: "of a pod whose name another has, as only the API knows", claim: aClaim(allocated, reserved("web", "1")), live: aPod("2"), want: freed},
		{name: "of a pod whose end was seen", claim: aClaim(allocated, reserved("web", "1")), pod: aPod("1"), gone: "1", want: freed},
		{name: "of a pod that runs and one that doesn't", claim: aClaim(allocated, reserved("old", "0"), reserved("web", "1")), pod: aPod("1"), want: "status: devices true, for web"},
		{name: "of somebody that is no pod", claim: aClaim(allocated, reservedByWorkload)},
		{name: "of somebody that is no pod, and a pod that ended", claim: aClaim(allocated, reservedByWorkload, reserved("web", "1")), pod: aPod("1", ended), want: "status: devices true, for w"},
		{name: "with devices that somebody else gave", claim: aClaim(foreign, reserved("web", "1")), pod: aPod("1", ended), want: "status: devices true, for "},
		{name: "deleted, of a pod that runs", claim: aClaim(allocated, deleted, reserved("web", "1")), pod: aPod("1")},
		{name: "deleted, with devices", claim: aClaim(allocated, deleted), want: freed},
		{name: "deleted, without devices", claim: aClaim(allocated, deleted, func(c *resourceapi.ResourceClaim) { c.Status.Allocation = nil }), want: "finalizers mine"},
		{name: "made for a pod that runs", claim: aClaim(madeFor("1")), pod: aPod("1")},
		{name: "made for a pod that ended", claim: aClaim(allocated, madeFor("1"), reserved("web", "1")), pod: aPod("1", ended), want: freed + "; delete gpu"},
		{name: "made for a pod that is gone, which is the garbage collector's", claim: aClaim(madeFor("1"))},
		{name: "made for a pod whose name another has", claim: aClaim(madeFor("1")), pod: aPod("2"), want: "delete gpu"},
		{name: "made for a pod that ended, reserved by another", claim: aClaim(allocated, madeFor("1"), reservedByWorkload), pod: aPod("1", ended)},
	} {
		pods, claims := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil), cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		client := fake.NewSimpleClientset()
		add := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if test.claim != nil {
			add(claims.Add(test.claim))
		}
		if test.pod != nil {
			add(pods.Add(test.pod))
		}
		if test.live != nil {
			add(client.Tracker().Add(test.live))
		}
		var wrote []string
		client.PrependReactor("*", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
			if gone, ok := action.(clienttesting.DeleteAction); ok {
				wrote = append(wrote, "delete "+gone.GetName())
				return true, nil, nil
			}
			claim := action.(clienttesting.UpdateAction).GetObject().(*resourceapi.ResourceClaim)
			if action.GetSubresource() != "status" {
				wrote = append(wrote, "finalizers "+strings.Join(claim.Finalizers, " "))
				return true, claim.DeepCopy(), nil
			}
			var users []string
			for _, consumer := range claim.Status.ReservedFor {
				users = append(users, consumer.Name)
			}
			devices := "false"
			if claim.Status.Allocation != nil {
				devices = "true"
			}
			wrote = append(wrote, "status: devices "+devices+", for "+strings.Join(users, " "))
			return true, claim.DeepCopy(), nil
		})
		x := &controller{
			client: client, pods: corelisters.NewPodLister(pods), claims: resourcelisters.NewResourceClaimLister(claims), gone: lru.New(keptGone),
		}
		if test.gone != "" {
			x.gone.Add(test.gone, nil)
		}
		before := test.claim.DeepCopy()
		if err := x.syncClaim(t.Context(), cache.ObjectName{Namespace: "ns", Name: "gpu"}); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := strings.Join(wrote, "; "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if before != nil && (len(before.Finalizers) != len(test.claim.Finalizers) || len(before.Status.ReservedFor) != len(test.claim.Status.ReservedFor)) {
			t.Errorf("%s: the informer's was changed: %v", test.name, test.claim)
		}
	}
}

func TestNeedsWork(t *testing.T) {
	templated := func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "one", ResourceClaimTemplateName: new("template")}}
	}
	named := func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "one", ResourceClaimName: new("gpu")}}
	}
	told := func(p *corev1.Pod) {
		p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "one", ResourceClaimName: new("gpu")}}
	}
	toldOfNone := func(p *corev1.Pod) { p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "one"}} }
	for _, test := range []struct {
		name  string
		pod   *corev1.Pod
		claim *resourceapi.ResourceClaim
		want  bool
	}{
		{"without claims", aPod("1"), nil, false},
		{"new", aPod("1", templated, homeless), nil, true},
		{"new, but leaving", aPod("1", templated, homeless, leaving), nil, false},
		{"that needs none", aPod("1", templated, toldOfNone), nil, false},
		{"whose claim is gone", aPod("1", templated, told, homeless), nil, true},
		{"that waits for a node", aPod("1", templated, told, homeless), aClaim(madeFor("1"), allocated), false},
		{"with a node, without devices", aPod("1", templated, told), aClaim(madeFor("1")), false},
		{"with a node, not reserved", aPod("1", templated, told), aClaim(madeFor("1"), allocated), true},
		{"with a node, reserved", aPod("1", templated, told), aClaim(madeFor("1"), allocated, reserved("web", "1")), false},
		{"whose claim is another's", aPod("1", templated, told), aClaim(madeFor("2"), allocated), false},
		{"that names a claim which isn't there", aPod("1", named), nil, false},
		{"that names a claim, not reserved", aPod("1", named), aClaim(allocated), true},
		{"that names a claim, reserved by another", aPod("1", named), aClaim(allocated, reserved("old", "0")), true},
		{"that names a claim, reserved", aPod("1", named), aClaim(allocated, reserved("web", "1")), false},
	} {
		claims := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		if test.claim != nil {
			if err := claims.Add(test.claim); err != nil {
				t.Fatal(err)
			}
		}
		x := &controller{claims: resourcelisters.NewResourceClaimLister(claims)}
		if got := x.needsWork(test.pod); got != test.want {
			t.Errorf("a pod %s: %v", test.name, got)
		}
	}
}
