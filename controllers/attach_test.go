package controllers_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

func TestVolumesAreAttached(t *testing.T) {
	before := counters(t)
	c := start(t, nil, append([]string{"attachdetach"}, binding...)...)
	ns := c.namespace("data")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	nodes, pods, attachments := c.client.CoreV1().Nodes(), c.client.CoreV1().Pods(ns), c.client.StorageV1().VolumeAttachments()
	for _, name := range []string{"node-1", "node-2"} {
		must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}}}, metav1.CreateOptions{}))(t)
	}
	run := func(name, node, claim string) {
		t.Helper()
		template := podTemplate(name, "ready:1")
		template.Spec.NodeName = node
		template.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
		must(pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: template.Spec}, metav1.CreateOptions{}))(t)
	}
	end := func(name string) {
		t.Helper()
		if err := pods.Delete(c.ctx, name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
			t.Fatal(err)
		}
	}
	mounts := func(node string, volumes ...corev1.UniqueVolumeName) {
		t.Helper()
		if err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			n, err := nodes.Get(c.ctx, node, metav1.GetOptions{})
			if err != nil {
				return err
			}
			n.Status.VolumesInUse = volumes
			_, err = nodes.UpdateStatus(c.ctx, n, metav1.UpdateOptions{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	reports := func(node string, volumes ...corev1.UniqueVolumeName) {
		t.Helper()
		await(c, nodes, node, func(n *corev1.Node) bool {
			var have []corev1.UniqueVolumeName
			for _, v := range n.Status.VolumesAttached {
				have = append(have, v.Name)
			}
			return slices.Equal(have, volumes)
		})
	}
	// What the driver does, for whom the attachments carry a finalizer.
	answer := func(name, failure string) *storagev1.VolumeAttachment {
		t.Helper()
		attachment := await(c, attachments, name, func(a *storagev1.VolumeAttachment) bool { return a.DeletionTimestamp == nil })
		attachment.Finalizers = []string{"external-attacher/csi-example-org"}
		attachment = must(attachments.Update(c.ctx, attachment, metav1.UpdateOptions{}))(t)
		attachment.Status.Attached = failure == ""
		if failure != "" {
			attachment.Status.AttachError = &storagev1.VolumeError{Time: metav1.Now(), Message: failure}
		} else {
			attachment.Status.AttachError = nil
		}
		return must(attachments.UpdateStatus(c.ctx, attachment, metav1.UpdateOptions{}))(t)
	}
	detached := func(name string) {
		t.Helper()
		await(c, attachments, name, func(a *storagev1.VolumeAttachment) bool { return a.DeletionTimestamp != nil })
		must(attachments.Patch(c.ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	}

	c.volume("disk", "")
	c.claim(ns, "disk", ptr.To(""))
	c.awaitClaim(ns, "disk", corev1.ClaimBound)
	const disk corev1.UniqueVolumeName = "kubernetes.io/csi/csi.example.org^disk"
	run("first", "node-1", "disk")
	first := attachmentOn(c, "node-1")
	if first.Spec.Attacher != "csi.example.org" || *first.Spec.Source.PersistentVolumeName != "disk" {
		t.Errorf("attaches %+v", first.Spec)
	}
	answer(first.Name, "out of cables")
	c.awaitEvent(ns, "first", "FailedAttachVolume")
	answer(first.Name, "")
	reports("node-1", disk)
	c.awaitEvent(ns, "first", "SuccessfulAttachVolume")
	mounts("node-1", disk)

	// Another node gets the volume only after the first has let it go.
	run("second", "node-2", "disk")
	if event := c.awaitEvent(ns, "second", "FailedAttachVolume"); event.Message != `Waiting for detach for volume "disk" Volume is already used by pod(s) first` {
		t.Errorf("told %q", event.Message)
	}
	end("first")
	mounts("node-1")
	detached(first.Name)
	reports("node-1")
	second := attachmentOn(c, "node-2")
	answer(second.Name, "")
	reports("node-2", disk)
	mounts("node-2", disk)

	// A node that is out of service can't let go.
	end("second")
	must(nodes.Patch(c.ctx, "node-2", types.StrategicMergePatchType, []byte(`{"spec":{"taints":[{"key":"node.kubernetes.io/out-of-service","effect":"NoExecute"}]}}`), metav1.PatchOptions{}))(t)
	detached(second.Name)
	reports("node-2")

	// A volume that needs no driver, and one whose driver doesn't attach.
	c.volume("lun", "", func(v *corev1.PersistentVolume) {
		v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{ISCSI: &corev1.ISCSIPersistentVolumeSource{TargetPortal: "10.0.0.1:3260", IQN: "iqn.2001-04.com.example:storage.disk1", Lun: 1}}
	})
	c.claim(ns, "lun", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = "lun" })
	c.awaitClaim(ns, "lun", corev1.ClaimBound)
	must(c.client.StorageV1().CSIDrivers().Create(c.ctx, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "csi.shared.org"}, Spec: storagev1.CSIDriverSpec{AttachRequired: ptr.To(false)}}, metav1.CreateOptions{}))(t)
	c.volume("share", "", func(v *corev1.PersistentVolume) { v.Spec.CSI.Driver = "csi.shared.org" })
	c.claim(ns, "share", ptr.To(""), func(claim *corev1.PersistentVolumeClaim) { claim.Spec.VolumeName = "share" })
	c.awaitClaim(ns, "share", corev1.ClaimBound)
	run("mounts", "node-1", "share")
	run("boots", "node-1", "lun")
	reports("node-1", "kubernetes.io/iscsi/10.0.0.1:3260:iqn.2001-04.com.example:storage.disk1:1")
	end("boots")
	reports("node-1")
	if left := must(attachments.List(c.ctx, metav1.ListOptions{}))(t); len(left.Items) != 0 {
		t.Errorf("attachments are left: %+v", left.Items)
	}
	for series, want := range map[string]float64{
		"storage_operation_duration_seconds false volume_attach fail-unknown kubernetes.io/csi:csi.example.org": 1,
		"storage_operation_duration_seconds false volume_attach success kubernetes.io/csi:csi.example.org":      2,
		"storage_operation_duration_seconds false volume_detach success kubernetes.io/csi:csi.example.org":      2,
	} {
		c.awaitCount(before, series, want)
	}
}

// attachmentOn waits for the VolumeAttachment of a node.
func attachmentOn(c *cluster, node string) *storagev1.VolumeAttachment {
	c.Helper()
	watcher := must(c.client.StorageV1().VolumeAttachments().Watch(c.ctx, metav1.ListOptions{}))(c)
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if a, ok := event.Object.(*storagev1.VolumeAttachment); ok && a.Spec.NodeName == node && a.DeletionTimestamp == nil {
			return a
		}
	}
	c.Fatalf("nothing is attached to %s", node)
	return nil
}
