package persistentvolume

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

func aVolume(name, size string, changes ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "5", UID: "uid-volume"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	for _, change := range changes {
		change(volume)
	}
	return volume
}

func aClaim(changes ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "uid-claim"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
	for _, change := range changes {
		change(claim)
	}
	return claim
}

func modes(modes ...corev1.PersistentVolumeAccessMode) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) { v.Spec.AccessModes = modes }
}

func forClaim(name string, uid types.UID) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "ns", Name: name, UID: uid}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		name    string
		claim   *corev1.PersistentVolumeClaim
		volumes []*corev1.PersistentVolume
		delayed bool
		want    string
	}{
		{"nothing", aClaim(), nil, false, ""},
		{"too small", aClaim(), []*corev1.PersistentVolume{aVolume("a", "1Gi")}, false, ""},
		{"the smallest", aClaim(), []*corev1.PersistentVolume{aVolume("a", "10Gi"), aVolume("b", "5Gi"), aVolume("c", "7Gi")}, false, "b"},
		{"fewest modes before size", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", modes(corev1.ReadWriteOnce, corev1.ReadWriteMany)), aVolume("b", "50Gi")}, false, "b"},
		{"more modes if need be", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", modes(corev1.ReadWriteOnce, corev1.ReadWriteMany))}, false, "a"},
		{"other modes", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", modes(corev1.ReadOnlyMany))}, false, ""},
		{"meant for it, though larger", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi"), aVolume("b", "50Gi", forClaim("data", ""))}, false, "b"},
		{"meant for another", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", forClaim("other", ""))}, false, ""},
		{"not available", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased })}, false, ""},
		{"of another class", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", func(v *corev1.PersistentVolume) { v.Spec.StorageClassName = "fast" })}, false, ""},
		{"the scheduler's to choose", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi")}, true, ""},
		{"the scheduler chose", aClaim(), []*corev1.PersistentVolume{aVolume("a", "5Gi", forClaim("data", "uid-claim"))}, true, "a"},
		{"a selector", aClaim(func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"disk": "ssd"}}
		}), []*corev1.PersistentVolume{aVolume("a", "5Gi"), aVolume("b", "6Gi", func(v *corev1.PersistentVolume) { v.Labels = map[string]string{"disk": "ssd"} })}, false, "b"},
		{"blocks", aClaim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }), []*corev1.PersistentVolume{aVolume("a", "5Gi")}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := match(test.claim, test.volumes, test.delayed)
			if err != nil {
				t.Fatal(err)
			}
			name := ""
			if got != nil {
				name = got.Name
			}
			if name != test.want {
				t.Errorf("chose %q, want %q", name, test.want)
			}
		})
	}
}

func TestClaimStatus(t *testing.T) {
	size := func(s *corev1.PersistentVolumeClaimStatus) string { return s.Capacity.Storage().String() }
	bound, err := claimStatus(aClaim(), corev1.ClaimBound, aVolume("a", "7Gi", func(v *corev1.PersistentVolume) { v.Spec.VolumeAttributesClassName = ptr.To("gold") }))
	if err != nil || bound.Phase != corev1.ClaimBound || size(bound) != "7Gi" || *bound.CurrentVolumeAttributesClassName != "gold" || len(bound.AccessModes) != 1 {
		t.Errorf("bound: %+v, %v", bound, err)
	}
	resizing, err := claimStatus(aClaim(), corev1.ClaimBound, aVolume("a", "7Gi", func(v *corev1.PersistentVolume) { v.Annotations = map[string]string{preResize: "6Gi"} }))
	if err != nil || size(resizing) != "6Gi" {
		t.Errorf("resizing: %+v, %v", resizing, err)
	}
	already := aClaim(func(c *corev1.PersistentVolumeClaim) { c.Status = *bound })
	kept, err := claimStatus(already, corev1.ClaimBound, aVolume("a", "9Gi"))
	if err != nil || size(kept) != "7Gi" {
		t.Errorf("the size of a bound claim is the expander's: %+v, %v", kept, err)
	}
	lost, err := claimStatus(already, corev1.ClaimLost, nil)
	if err != nil || lost.Phase != corev1.ClaimLost || lost.Capacity != nil || lost.AccessModes != nil || lost.CurrentVolumeAttributesClassName != nil {
		t.Errorf("lost: %+v, %v", lost, err)
	}
}

func TestUnreclaimable(t *testing.T) {
	policy := func(p corev1.PersistentVolumeReclaimPolicy, changes ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		return aVolume("a", "1Gi", append(changes, func(v *corev1.PersistentVolume) { v.Spec.PersistentVolumeReclaimPolicy = p })...)
	}
	by := func(provisioner string) func(*corev1.PersistentVolume) {
		return func(v *corev1.PersistentVolume) {
			v.Annotations = map[string]string{volumehelpers.AnnDynamicallyProvisioned: provisioner}
		}
	}
	for _, test := range []struct {
		name, reason, message string
		volume                *corev1.PersistentVolume
	}{
		{"kept", "", "", policy(corev1.PersistentVolumeReclaimRetain)},
		{"a driver's", "", "", policy(corev1.PersistentVolumeReclaimDelete, by("csi.example.org"))},
		{"a CSI volume made by hand", "", "", policy(corev1.PersistentVolumeReclaimDelete, func(v *corev1.PersistentVolume) { v.Spec.CSI = &corev1.CSIPersistentVolumeSource{} })},
		{"migrated", "", "", policy(corev1.PersistentVolumeReclaimDelete, func(v *corev1.PersistentVolume) {
			v.Annotations = map[string]string{volumehelpers.AnnMigratedTo: "ebs.csi.aws.com"}
		})},
		{"nobody's", "VolumeFailedDelete", `error getting deleter volume plugin for volume "a": no deletable volume plugin matched`, policy(corev1.PersistentVolumeReclaimDelete)},
		{"in tree", "VolumeFailedDelete", "no volume plugin matched name: kubernetes.io/host-path", policy(corev1.PersistentVolumeReclaimDelete, by("kubernetes.io/host-path"))},
		{"recycled", "VolumeFailedRecycle", "No recycler plugin found for the volume!", policy(corev1.PersistentVolumeReclaimRecycle)},
		{"unknown", "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy", policy("Sell")},
	} {
		if reason, message := unreclaimable(test.volume); reason != test.reason || message != test.message {
			t.Errorf("%s: %s %q, want %s %q", test.name, reason, message, test.reason, test.message)
		}
	}
}

func TestMigrationMark(t *testing.T) {
	with := func(driver string) map[string]string { return map[string]string{volumehelpers.AnnMigratedTo: driver} }
	if got := migrationMark(map[string]string{}, "kubernetes.io/aws-ebs"); got[volumehelpers.AnnMigratedTo] != "ebs.csi.aws.com" {
		t.Errorf("marked %v", got)
	}
	if got := migrationMark(with("ebs.csi.aws.com"), "csi.example.org"); len(got) != 0 {
		t.Errorf("still marked %v", got)
	}
}

func TestLatest(t *testing.T) {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	l := newLatest[*corev1.PersistentVolume](store)
	version := func(v string) *corev1.PersistentVolume {
		return aVolume("a", "1Gi", func(volume *corev1.PersistentVolume) { volume.ResourceVersion = v })
	}
	is := func(want string) {
		t.Helper()
		if got, ok := l.get("a"); !ok && want != "" || ok && got.ResourceVersion != want {
			t.Errorf("got %v, want version %q", got, want)
		}
	}
	is("")
	_ = store.Add(version("5"))
	is("5")
	l.put(version("7"))
	is("7")
	_ = store.Update(version("6"))
	is("7")
	_ = store.Update(version("8"))
	is("8")
	held := version("8")
	held.Name = "a"
	l.put(held)
	if got, _ := l.get("a"); got != held {
		t.Error("what is held isn't what is got")
	}
	l.forget(held)
	if got, _ := l.get("a"); got == held {
		t.Error("what was forgotten is still held")
	}
	l.put(version("9"))
	_ = store.Delete(version("8"))
	is("")
}
