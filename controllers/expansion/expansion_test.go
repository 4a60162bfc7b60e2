package expansion

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestWantsMore(t *testing.T) {
	size := func(text string) corev1.ResourceList {
		if text == "" {
			return nil
		}
		return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(text)}
	}
	for _, test := range []struct {
		asked, has string
		more       bool
	}{
		{"2Gi", "1Gi", true}, {"1Gi", "1024Mi", false}, {"1Gi", "2Gi", false}, {"1Gi", "", true}, {"", "1Gi", false},
	} {
		claim := &corev1.PersistentVolumeClaim{
			Spec:   corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{Requests: size(test.asked)}},
			Status: corev1.PersistentVolumeClaimStatus{Capacity: size(test.has)},
		}
		if got := wantsMore(claim); got != test.more {
			t.Errorf("%q instead of %q: %v", test.asked, test.has, got)
		}
	}
}

func TestMigrated(t *testing.T) {
	for _, test := range []struct {
		source         corev1.PersistentVolumeSource
		plugin, driver string
	}{
		{corev1.PersistentVolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "a"}}, "kubernetes.io/aws-ebs", "ebs.csi.aws.com"},
		{corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.org"}}, "", ""},
		{corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}, "", ""},
	} {
		plugin, driver := migrated(&corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: test.source}})
		if plugin != test.plugin || driver != test.driver {
			t.Errorf("%+v is %q's, of old %q's, want %q and %q", test.source, driver, plugin, test.driver, test.plugin)
		}
	}
}
