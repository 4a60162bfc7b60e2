package follow

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod() *corev1.Pod {
	now, yes, seconds := metav1.Unix(1_700_000_000, 0), true, int64(30)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", GenerateName: "w", Namespace: "default", UID: "u", ResourceVersion: "7", Generation: 3,
			CreationTimestamp: now, DeletionTimestamp: &now, DeletionGracePeriodSeconds: &seconds,
			Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "r", Controller: &yes, BlockOwnerDeletion: &yes},
				{APIVersion: "v1", Kind: "ConfigMap", Name: "cm", UID: "c"},
			},
			Finalizers:    []string{"example.com/a", "example.com/b"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update", Time: &now, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:a":{}}`)}},
		},
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}},
	}
}

// told are the fields of metadata that are told.
func told(m *metav1.ObjectMeta) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, DeletionTimestamp: m.DeletionTimestamp,
		OwnerReferences: m.OwnerReferences, Finalizers: m.Finalizers,
	}
}

func TestFromProtobuf(t *testing.T) {
	full, empty := pod(), &corev1.Pod{}
	for name, object := range map[string]*corev1.Pod{"full": full, "empty": empty} {
		data, err := object.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var whole corev1.Pod
		if err := whole.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		got, err := fromProtobuf(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(told(&whole.ObjectMeta), got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
			t.Errorf("%s (-decoded +told):\n%s", name, diff)
		}
	}
	if m, err := fromProtobuf(nil); err == nil {
		t.Errorf("nothing is %v", m)
	}
}

// FuzzFromProtobuf: what decodes says the same, and nothing panics.
func FuzzFromProtobuf(f *testing.F) {
	data, err := pod().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:50])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := fromProtobuf(data)
		var whole corev1.Pod
		if err != nil || whole.Unmarshal(data) != nil {
			return
		}
		want := told(&whole.ObjectMeta)
		if got.Name != want.Name || got.UID != want.UID || len(got.OwnerReferences) != len(want.OwnerReferences) || len(got.Finalizers) != len(want.Finalizers) {
			// A message that comes in pieces is merged; we never store one.
			if pieces(data) == 1 {
				t.Errorf("%+v, decoded %+v", got, want)
			}
		}
	})
}

func BenchmarkFromProtobuf(b *testing.B) {
	data, err := pod().Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fromProtobuf(data); err != nil {
			b.Fatal(err)
		}
	}
}

// pieces counts the metadata fields of an object.
func pieces(object []byte) (count int) {
	for len(object) > 0 {
		number, _, n := protowire.ConsumeField(object)
		if n < 0 {
			return count
		}
		if number == 1 {
			count++
		}
		object = object[n:]
	}
	return count
}
