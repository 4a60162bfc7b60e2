package controllers_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func (c *cluster) volume(name, class string, changes ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	c.Helper()
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.org", VolumeHandle: name}},
		},
	}
	for _, change := range changes {
		change(volume)
	}
	return must(c.client.CoreV1().PersistentVolumes().Create(c.ctx, volume, metav1.CreateOptions{}))(c)
}

func (c *cluster) claim(namespace, name string, class *string, changes ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c.Helper()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
		},
	}
	for _, change := range changes {
		change(claim)
	}
	return must(c.client.CoreV1().PersistentVolumeClaims(namespace).Create(c.ctx, claim, metav1.CreateOptions{}))(c)
}

func (c *cluster) class(name, provisioner string, mode storagev1.VolumeBindingMode, isDefault string) {
	c.Helper()
	must(c.client.StorageV1().StorageClasses().Create(c.ctx, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": isDefault}},
		Provisioner: provisioner, VolumeBindingMode: &mode,
	}, metav1.CreateOptions{}))(c)
}

func (c *cluster) awaitClaim(namespace, name string, phase corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
	c.Helper()
	return await(c, c.client.CoreV1().PersistentVolumeClaims(namespace), name, func(claim *corev1.PersistentVolumeClaim) bool { return claim.Status.Phase == phase })
}

func (c *cluster) awaitVolume(name string, phase corev1.PersistentVolumePhase) *corev1.PersistentVolume {
	c.Helper()
	return await(c, c.client.CoreV1().PersistentVolumes(), name, func(volume *corev1.PersistentVolume) bool { return volume.Status.Phase == phase })
}

var binding = []string{"serviceaccount", "persistentvolume-binder", "pv-protection", "pvc-protection"}

func TestVolumesAreBound(t *testing.T) {
	c := start(t, nil, binding...)
	ns := c.namespace("data")
	claims, volumes := c.client.CoreV1().PersistentVolumeClaims(ns), c.client.CoreV1().PersistentVolumes()

	// A claim that waits gets the volume that comes, and each only one.
	c.claim(ns, "a", ptr.To("manual"))
	c.claim(ns, "b", ptr.To("manual"))
	c.volume("one", "manual")
	first := await(c, volumes, "one", func(v *corev1.PersistentVolume) bool { return v.Status.Phase == corev1.VolumeBound })
	taken := c.awaitClaim(ns, first.Spec.ClaimRef.Name, corev1.ClaimBound)
	if taken.Spec.VolumeName != "one" || first.Spec.ClaimRef.UID != taken.UID || taken.Status.Capacity.Storage().String() != "10Gi" {
		t.Errorf("bound %+v to %+v", taken, first)
	}
	c.volume("two", "manual")
	c.awaitClaim(ns, "a", corev1.ClaimBound)
	c.awaitClaim(ns, "b", corev1.ClaimBound)

	// Bound in advance, from either side.
	c.claim(ns, "wants", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = "wanted" })
	c.volume("wanted", "")
	c.awaitClaim(ns, "wants", corev1.ClaimBound)
	c.volume("reserved", "manual", func(v *corev1.PersistentVolume) {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: ns, Name: "reserves"}
	})
	c.awaitVolume("reserved", corev1.VolumeAvailable)
	c.claim(ns, "reserves", ptr.To("manual"))
	if got := c.awaitClaim(ns, "reserves", corev1.ClaimBound); got.Spec.VolumeName != "reserved" {
		t.Errorf("bound to %s", got.Spec.VolumeName)
	}
	c.claim(ns, "late", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = "wanted" })
	c.awaitEvent(ns, "late", "FailedBinding")
	c.claim(ns, "big", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.VolumeName = "small"
		claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("50Gi")
	})
	c.volume("small", "")
	c.awaitEvent(ns, "big", "VolumeMismatch")
	c.claim(ns, "nothing", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("50Gi")
	})
	c.awaitEvent(ns, "nothing", "FailedBinding")

	// A claim's end releases its volume; deleting that loses nothing that is bound.
	if err := claims.Delete(c.ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, claims, "a")
	released := "one"
	if taken.Name == "b" {
		released = "two"
	}
	c.awaitVolume(released, corev1.VolumeReleased)
	for name, kept := range map[string]bool{released: false, "wanted": true} {
		if err := volumes.Delete(c.ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if !kept {
			awaitGone(c, volumes, name)
		} else if v := must(volumes.Get(c.ctx, name, metav1.GetOptions{}))(t); v.DeletionTimestamp == nil || !slices.Contains(v.Finalizers, "kubernetes.io/pv-protection") {
			t.Errorf("not protected: %+v", v.ObjectMeta)
		}
	}
	if err := claims.Delete(c.ctx, "wants", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, volumes, "wanted")

	// Without its volume a claim is lost.
	must(volumes.Patch(c.ctx, "reserved", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	must(volumes.Patch(c.ctx, "reserved", types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.org/x"]}}`), metav1.PatchOptions{}))(t)
	if err := volumes.Delete(c.ctx, "reserved", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	must(volumes.Patch(c.ctx, "reserved", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	c.awaitClaim(ns, "reserves", corev1.ClaimLost)
	c.awaitEvent(ns, "reserves", "ClaimLost")
}

// TestManyVolumesAreBound has many claims and as many volumes come at once: each
// gets one, and none two.
func TestManyVolumesAreBound(t *testing.T) {
	const many = 60
	c := start(t, nil, binding...)
	ns := c.namespace("data")
	var creating sync.WaitGroup
	for i := range many {
		creating.Go(func() { c.claim(ns, fmt.Sprint("claim-", i), ptr.To("manual")) })
		creating.Go(func() { c.volume(fmt.Sprint("volume-", i), "manual") })
	}
	creating.Wait()
	claimed := map[string]string{}
	for i := range many {
		name := fmt.Sprint("claim-", i)
		claim := c.awaitClaim(ns, name, corev1.ClaimBound)
		if other, twice := claimed[claim.Spec.VolumeName]; twice {
			t.Errorf("%s and %s have %s", name, other, claim.Spec.VolumeName)
		}
		claimed[claim.Spec.VolumeName] = name
		volume := c.awaitVolume(claim.Spec.VolumeName, corev1.VolumeBound)
		if volume.Spec.ClaimRef.UID != claim.UID {
			t.Errorf("%s is bound to %s, which is bound to %s", name, volume.Name, volume.Spec.ClaimRef.Name)
		}
	}
}

func TestVolumesAreReclaimed(t *testing.T) {
	c := start(t, nil, binding...)
	ns := c.namespace("data")
	for name, change := range map[string]func(*corev1.PersistentVolume){
		"recycled": func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRecycle
			v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}
		},
		"deleted": func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
			v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}
		},
	} {
		c.volume(name, "manual", change)
		c.claim(ns, name, ptr.To("manual"))
		c.awaitVolume(name, corev1.VolumeBound)
		if err := c.client.CoreV1().PersistentVolumeClaims(ns).Delete(c.ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if v := c.awaitVolume(name, corev1.VolumeFailed); v.Status.Message == "" {
			t.Errorf("%s says nothing", name)
		}
	}
	c.awaitEvent("", "recycled", "VolumeFailedRecycle")
	c.awaitEvent("", "deleted", "VolumeFailedDelete")
}

func TestVolumesAreProvisioned(t *testing.T) {
	before := counters(t)
	c := start(t, nil, binding...)
	ns := c.namespace("data")
	claims := c.client.CoreV1().PersistentVolumeClaims(ns)

	// The default class comes after the claim.
	c.claim(ns, "early", nil)
	c.claim(ns, "none", ptr.To(""))
	c.awaitEvent(ns, "early", "FailedBinding")
	c.class("standard", "csi.example.org", storagev1.VolumeBindingImmediate, "true")
	early := await(c, claims, "early", func(claim *corev1.PersistentVolumeClaim) bool {
		return claim.Annotations["volume.kubernetes.io/storage-provisioner"] == "csi.example.org"
	})
	if *early.Spec.StorageClassName != "standard" || early.Annotations["volume.beta.kubernetes.io/storage-provisioner"] != "csi.example.org" {
		t.Errorf("asked by %+v", early)
	}
	c.awaitEvent(ns, "early", "ExternalProvisioning")
	if none := must(claims.Get(c.ctx, "none", metav1.GetOptions{}))(t); *none.Spec.StorageClassName != "" {
		t.Errorf("a claim that wants no class got %s", *none.Spec.StorageClassName)
	}
	// The driver does its part.
	c.volume("pvc-"+string(early.UID), "standard", func(v *corev1.PersistentVolume) {
		v.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": "csi.example.org"}
		v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		v.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: ns, Name: "early", UID: early.UID}
	})
	c.awaitClaim(ns, "early", corev1.ClaimBound)
	// And again, when the claim is gone.
	if err := claims.Delete(c.ctx, "early", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	volumes := c.client.CoreV1().PersistentVolumes()
	c.awaitVolume("pvc-"+string(early.UID), corev1.VolumeReleased)
	must(volumes.Patch(c.ctx, "pvc-"+string(early.UID), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	if err := volumes.Delete(c.ctx, "pvc-"+string(early.UID), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, volumes, "pvc-"+string(early.UID))
	for _, operation := range []string{"provision", "delete"} {
		c.awaitCount(before, "volume_operation_total_seconds "+operation+" csi.example.org", 1)
	}

	// Classes that wait for a pod and its node.
	c.class("local", "csi.example.org", storagev1.VolumeBindingWaitForFirstConsumer, "false")
	c.claim(ns, "waits", ptr.To("local"))
	c.awaitEvent(ns, "waits", "WaitForFirstConsumer")
	must(claims.Patch(c.ctx, "waits", types.MergePatchType, []byte(`{"metadata":{"annotations":{"volume.kubernetes.io/selected-node":"node-1"}}}`), metav1.PatchOptions{}))(t)
	c.awaitEvent(ns, "waits", "ExternalProvisioning")

	// Who took over from an in-tree plugin.
	c.class("old", "kubernetes.io/aws-ebs", storagev1.VolumeBindingImmediate, "false")
	c.claim(ns, "migrated", ptr.To("old"))
	await(c, claims, "migrated", func(claim *corev1.PersistentVolumeClaim) bool {
		return claim.Annotations["volume.kubernetes.io/storage-provisioner"] == "ebs.csi.aws.com"
	})
	c.class("static", "kubernetes.io/no-provisioner", storagev1.VolumeBindingImmediate, "false")
	c.claim(ns, "unmade", ptr.To("static"))
	c.awaitEvent(ns, "unmade", "ProvisioningFailed")
	c.claim(ns, "classless", ptr.To("missing"))
	c.awaitEvent(ns, "classless", "ProvisioningFailed")
}

func TestClaimsAreProtected(t *testing.T) {
	c := start(t, nil, append([]string{"ephemeral-volume", "garbagecollector"}, binding...)...)
	c.workers()
	ns := c.namespace("data")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	claims, pods := c.client.CoreV1().PersistentVolumeClaims(ns), c.client.CoreV1().Pods(ns)
	c.volume("one", "")
	c.claim(ns, "used", ptr.To(""))
	unused := func(status corev1.ConditionStatus) {
		t.Helper()
		await(c, claims, "used", func(claim *corev1.PersistentVolumeClaim) bool {
			return slices.ContainsFunc(claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
				return c.Type == corev1.PersistentVolumeClaimUnused && c.Status == status
			})
		})
	}
	unused(corev1.ConditionTrue)
	pod := func(name string, source corev1.VolumeSource) {
		t.Helper()
		template := podTemplate(name, "ready:1")
		template.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: source}}
		must(pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: template.Spec}, metav1.CreateOptions{}))(t)
		await(c, pods, name, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	}
	pod("user", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "used"}})
	unused(corev1.ConditionFalse)
	if err := claims.Delete(c.ctx, "used", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if claim := must(claims.Get(c.ctx, "used", metav1.GetOptions{}))(t); claim.DeletionTimestamp == nil {
		t.Errorf("not deleted: %+v", claim)
	}
	if err := pods.Delete(c.ctx, "user", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, claims, "used")

	// A pod's own claim comes and goes with it.
	pod("owner", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: ptr.To(""),
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}}})
	await(c, claims, "owner-v", func(claim *corev1.PersistentVolumeClaim) bool { return len(claim.OwnerReferences) == 1 })
	c.claim(ns, "conflict-v", ptr.To(""))
	if err := pods.Delete(c.ctx, "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, claims, "owner-v")
	pod("conflict", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}}})
	c.awaitEvent(ns, "conflict", "FailedBinding")
}

func TestVolumeAttributesClassesAreProtected(t *testing.T) {
	c := start(t, nil, append([]string{"volumeattributesclass-protection-controller", "persistentvolume-expander"}, binding...)...)
	ns := c.namespace("data")
	classes, volumes := c.client.StorageV1().VolumeAttributesClasses(), c.client.CoreV1().PersistentVolumes()
	must(classes.Create(c.ctx, &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, DriverName: "csi.example.org", Parameters: map[string]string{"iops": "9"}}, metav1.CreateOptions{}))(t)
	await(c, classes, "gold", func(class *storagev1.VolumeAttributesClass) bool {
		return slices.Contains(class.Finalizers, "kubernetes.io/vac-protection")
	})
	c.volume("one", "", func(v *corev1.PersistentVolume) { v.Spec.VolumeAttributesClassName = ptr.To("gold") })
	c.awaitVolume("one", corev1.VolumeAvailable)
	if err := classes.Delete(c.ctx, "gold", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if class := must(classes.Get(c.ctx, "gold", metav1.GetOptions{}))(t); class.DeletionTimestamp == nil {
		t.Errorf("not deleted: %+v", class)
	}
	if err := volumes.Delete(c.ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(c, classes, "gold")

	// A claim that asks for more than it has.
	c.class("growing", "csi.example.org", storagev1.VolumeBindingImmediate, "false")
	must(c.client.StorageV1().StorageClasses().Patch(c.ctx, "growing", types.MergePatchType, []byte(`{"allowVolumeExpansion":true}`), metav1.PatchOptions{}))(t)
	c.volume("grows", "growing")
	c.claim(ns, "grows", ptr.To("growing"))
	c.awaitClaim(ns, "grows", corev1.ClaimBound)
	must(c.client.CoreV1().PersistentVolumeClaims(ns).Patch(c.ctx, "grows", types.MergePatchType, []byte(`{"spec":{"resources":{"requests":{"storage":"20Gi"}}}}`), metav1.PatchOptions{}))(t)
	c.awaitEvent(ns, "grows", "ExternalExpanding")
}
