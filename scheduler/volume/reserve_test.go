package volume

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

var errLost = errors.New("connection reset")

// What a write of a volume or of a claim comes to is found out, whatever becomes of
// the request or its answer.
func TestBindOfUncertainWrites(t *testing.T) {
	for name, test := range map[string]struct {
		provisioned bool // instead of a volume that is there
		before      error
		after       error
		taken       bool // by someone else before our first request is served
		refused     bool
	}{
		"all is well":                     {},
		"the request is lost":             {before: errLost},
		"the answer is lost":              {after: errLost},
		"it is taken":                     {taken: true, refused: true},
		"a claim, all is well":            {provisioned: true},
		"a claim, the request is lost":    {provisioned: true, before: errLost},
		"a claim, the answer is lost":     {provisioned: true, after: errLost},
		"a claim, the server refuses":     {provisioned: true, before: apierrors.NewForbidden(corev1.Resource("persistentvolumeclaims"), "c", errLost), refused: true},
		"a claim, the server has no time": {provisioned: true, before: apierrors.NewTooManyRequests("later", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(
				&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}},
				&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"}},
				&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Provisioner: "x.example.com", VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)},
				&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c", ResourceVersion: "1"}, Spec: corev1.PersistentVolumeClaimSpec{
					StorageClassName: ptr.To("s"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				}},
			)
			volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", UID: "v", ResourceVersion: "1"}, Spec: corev1.PersistentVolumeSpec{
				StorageClassName: "s", AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			}, Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}}
			if !test.provisioned {
				if err := client.Tracker().Add(volume); err != nil {
					t.Fatal(err)
				}
			}
			// The API's rule of versions, the fault, and the controller of volumes.
			written := 0
			update := func(action clienttesting.Action) (bool, runtime.Object, error) {
				object := action.(clienttesting.UpdateAction).GetObject().DeepCopyObject()
				resource := action.GetResource()
				before, after := test.before, test.after
				test.before, test.after = nil, nil
				if before != nil {
					return true, nil, before
				}
				if test.taken {
					other := volume.DeepCopy()
					other.ResourceVersion = "2"
					other.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "other", UID: "other"}
					if err := client.Tracker().Update(resource, other, ""); err != nil {
						t.Error(err)
					}
				}
				name := object.(metav1.Object).GetName()
				live, err := client.Tracker().Get(resource, action.GetNamespace(), name)
				if err != nil {
					return true, nil, err
				}
				if live.(metav1.Object).GetResourceVersion() != object.(metav1.Object).GetResourceVersion() {
					return true, nil, apierrors.NewConflict(resource.GroupResource(), name, errors.New("it was changed"))
				}
				object.(metav1.Object).SetResourceVersion("2")
				written++
				if err := client.Tracker().Update(resource, object, action.GetNamespace()); err != nil {
					t.Error(err)
				}
				bound, err := client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims"), "default", "c")
				if err != nil {
					t.Fatal(err)
				}
				claim := bound.(*corev1.PersistentVolumeClaim).DeepCopy()
				claim.ResourceVersion, claim.Spec.VolumeName = "3", "v"
				metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volumehelpers.AnnBindCompleted, "yes")
				if err := client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims"), claim, "default"); err != nil {
					t.Error(err)
				}
				if test.provisioned {
					if err := client.Tracker().Add(volume); err != nil {
						t.Error(err)
					}
				}
				return true, object, after
			}
			client.PrependReactor("update", "persistentvolumes", update)
			client.PrependReactor("update", "persistentvolumeclaims", update)

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			factory := informers.NewSharedInformerFactory(client, 0)
			volumes := New(factory, client)
			factory.Core().V1().Pods().Informer()
			factory.Core().V1().Nodes().Informer()
			factory.Start(ctx.Done())
			factory.WaitForCacheSync(ctx.Done())
			plugin := &binding{volumes, DefaultArgs()}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
			prepared, status := plugin.Prepare(state.NewPod(pod), nil)
			if status != nil {
				t.Fatal(status)
			}
			cluster := state.NewCluster()
			cluster.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
			if status := prepared.Filter(cluster.Node("n")); status != nil {
				t.Fatal(status)
			}
			reservation, status := prepared.(placement.Reserver).Reserve("n")
			if status != nil {
				t.Fatal(status)
			}
			if err := reservation.Bind(ctx); (err != nil) != test.refused {
				t.Errorf("it ends with %v", err)
			}
			want := 1
			if test.refused {
				want = 0
			}
			if written != want {
				t.Errorf("%d writes, want %d", written, want)
			}
		})
	}
}
