package scheduler

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A pod that waits for its volume on a node is nominated to it. One that matters
// more takes the node: the other is not deleted, since it isn't bound, but waits
// again.
func TestPreemptedBeforeItIsBound(t *testing.T) {
	a := newAPI(t)
	a.addNode("a", "2")
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}, Provisioner: "slow.example.com", VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: ptr.To("slow"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
	if err := a.Tracker().Add(class); err != nil {
		t.Fatal(err)
	}
	if err := a.Tracker().Add(claim); err != nil {
		t.Fatal(err)
	}
	_, stop := a.start(nil)
	defer stop()
	a.addPod("waits", "2", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
	})
	waits := func() *corev1.Pod {
		t.Helper()
		pod, err := a.CoreV1().Pods("default").Get(context.Background(), "waits", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return pod
	}
	a.await("the node on which it waits is told", func() bool { return waits().Status.NominatedNodeName == "a" })
	a.addPod("high", "2", func(p *corev1.Pod) { p.Spec.Priority = ptr.To(int32(10)) })
	a.await("the important pod has the node", func() bool { return a.node("high") == "a" })
	a.await("the other one is nominated no more", func() bool { return waits().Status.NominatedNodeName == "" })
	if pod := waits(); pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		t.Errorf("it is on node %q, deleted %v", pod.Spec.NodeName, pod.DeletionTimestamp)
	}
}
