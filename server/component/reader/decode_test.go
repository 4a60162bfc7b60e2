package reader

import (
	"bytes"
	"io"
	"reflect"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
	"k8s.io/utils/ptr"
)

var own = codecs{scheme.Codecs.WithoutConversion(), scheme.Scheme}

// decoder reads events as client-go's watches do.
func decoder(t testing.TB, with runtime.NegotiatedSerializer, stream []byte) *restwatch.Decoder {
	t.Helper()
	objects, events, framer, err := runtime.NewClientNegotiator(with, corev1.SchemeGroupVersion).StreamDecoder(runtime.ContentTypeProtobuf, nil)
	if err != nil {
		t.Fatal(err)
	}
	return restwatch.NewDecoder(streaming.NewDecoder(framer.NewFrameReader(io.NopCloser(bytes.NewReader(stream))), events), objects)
}

// sent is how an API server sends an event.
func sent(t testing.TB, kind string, object runtime.Object) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, kinds[0].GroupVersion()), object)
	if err != nil {
		t.Fatal(err)
	}
	event, err := (&metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func framed(t testing.TB, events ...[]byte) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	var b bytes.Buffer
	w := info.StreamSerializer.Framer.NewFrameWriter(&b)
	for _, event := range events {
		if _, err := w.Write(event); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func examples() []runtime.Object {
	now := metav1.NewTime(time.Unix(1_700_000_000, 0))
	about := metav1.ObjectMeta{
		Name: "web-1", GenerateName: "web-", Namespace: "default", UID: "1", ResourceVersion: "7", Generation: 3, CreationTimestamp: now, DeletionTimestamp: &now,
		Labels: map[string]string{"app": "web", "tier": "front"}, Annotations: map[string]string{"note": "x"}, Finalizers: []string{"a/b"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "2", Controller: ptr.To(true)}},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "one", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
			{Manager: "two"},
		},
	}
	bare := about
	bare.ManagedFields = nil
	return []runtime.Object{
		&corev1.Pod{ObjectMeta: about, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{
			{Name: "a", Image: "nginx", Env: []corev1.EnvVar{{Name: "K", Value: "v"}}, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}}},
		}}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}},
		&corev1.Pod{ObjectMeta: bare},
		&corev1.Pod{},
		&corev1.Node{ObjectMeta: about, Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"x"}, SizeBytes: 5}}}},
		&corev1.Secret{ObjectMeta: about, Data: map[string][]byte{"k": {0, 1, 2}}},
		&coordinationv1.Lease{ObjectMeta: about, Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("me"), RenewTime: &metav1.MicroTime{Time: now.Time}}},
		&appsv1.ReplicaSet{ObjectMeta: about, Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](3)}},
		&metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: 410, Message: "too old"},
	}
}

// next is an event, without managedFields.
func next(d *restwatch.Decoder) (kind string, object runtime.Object, err error) {
	event, object, err := d.Decode()
	if accessor, e := meta.Accessor(object); e == nil && object != nil {
		accessor.SetManagedFields(nil)
	}
	return string(event), object, err
}

func compare(t *testing.T, stream []byte) {
	t.Helper()
	ours, theirs := decoder(t, own, stream), decoder(t, scheme.Codecs.WithoutConversion(), stream)
	for {
		kind, object, err := next(ours)
		wantKind, want, wantErr := next(theirs)
		if kind != wantKind || !reflect.DeepEqual(object, want) || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("decoded\n%s %+v, %v\nclient-go's is\n%s %+v, %v", kind, object, err, wantKind, want, wantErr)
		}
		if err != nil {
			return
		}
	}
}

// TestDecode compares what is decoded with what client-go decodes.
func TestDecode(t *testing.T) {
	var all [][]byte
	for i, object := range examples() {
		all = append(all, sent(t, []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"}[i%5], object))
	}
	compare(t, framed(t, all...))
	ours := decoder(t, own, framed(t, all[0]))
	_, object, err := ours.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if fields := object.(*corev1.Pod).ManagedFields; fields != nil {
		t.Errorf("managedFields are %v", fields)
	}
	for _, odd := range [][]byte{nil, {0}, []byte("text"), sent(t, "WHATEVER", examples()[0]), {10, 5, 'A', 'D', 'D', 'E', 'D'}, {10, 5, 'A', 'D', 'D', 'E', 'D', 18, 0}} {
		compare(t, framed(t, odd))
	}
}

// FuzzDecode does so with events of all kinds.
func FuzzDecode(f *testing.F) {
	for _, object := range examples() {
		f.Add(sent(f, "ADDED", object))
	}
	f.Fuzz(func(t *testing.T, event []byte) { compare(t, framed(t, event)) })
}

func BenchmarkDecode(b *testing.B) {
	stream := framed(b, sent(b, "ADDED", examples()[0]))
	for _, way := range []struct {
		name string
		with runtime.NegotiatedSerializer
	}{{"here", own}, {"client-go", scheme.Codecs.WithoutConversion()}} {
		b.Run(way.name, func(b *testing.B) {
			d := decoder(b, way.with, bytes.Repeat(stream, b.N))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, _, err := d.Decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
