package protection

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestUse(t *testing.T) {
	aPod := func(node string, phase corev1.PodPhase, source corev1.VolumeSource) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "pod"},
			Spec:       corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{Name: "v", VolumeSource: source}}},
			Status:     corev1.PodStatus{Phase: phase},
		}
	}
	named := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "web-v"}}
	own := corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web-v", OwnerReferences: []metav1.OwnerReference{{Kind: "Pod", Name: "web", UID: "pod", Controller: ptr.To(true)}}}}
	shutDown := aPod("a", corev1.PodRunning, own)
	shutDown.DeletionTimestamp, shutDown.DeletionGracePeriodSeconds = &metav1.Time{}, ptr.To[int64](0)
	for _, test := range []struct {
		name          string
		pod           *corev1.Pod
		keeps, refers bool
	}{
		{"runs", aPod("a", corev1.PodRunning, named), true, true},
		{"waits for a node", aPod("", corev1.PodPending, named), false, true},
		{"is over, but its node may have it mounted", aPod("a", corev1.PodSucceeded, named), true, false},
		{"another claim", aPod("a", corev1.PodRunning, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}), false, false},
		{"its own", aPod("a", corev1.PodRunning, own), true, true},
		{"its own, shut down", shutDown, false, true},
	} {
		if got := keeps(test.pod, claim); got != test.keeps {
			t.Errorf("%s: keeps %v", test.name, got)
		}
		if got := refers(test.pod, claim); got != test.refers {
			t.Errorf("%s: refers %v", test.name, got)
		}
	}
}
