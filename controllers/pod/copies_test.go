package pod

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/howdah/howdah/controllers/freshness"
)

// what creating a pod comes to.
type outcome struct {
	asked, contentType string
	body               []byte
	err, event         string
	fresh              bool
}

// TestCopies compares copies of a pod with pods that are created one by one, by an
// API that answers in either format.
func TestCopies(t *testing.T) {
	owner := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "1"}}
	template := &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "nginx"}}},
	}
	pod := New(template, "web", metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")))
	created := pod.DeepCopy()
	created.Name, created.ResourceVersion = "web-x", "12"
	going := &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "namespace ns is being terminated",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
	}
	refused := &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "quota"}
	for _, test := range []struct {
		name   string
		pod    *corev1.Pod
		code   int
		answer runtime.Object
		event  string
		fresh  bool
	}{
		{name: "created", pod: pod, code: http.StatusCreated, answer: created, event: "Normal SuccessfulCreate Created pod: web-x"},
		{name: "in a namespace that is going", pod: pod, code: http.StatusForbidden, answer: going, fresh: true},
		{name: "refused", pod: pod, code: http.StatusForbidden, answer: refused, event: "Warning FailedCreate Error creating: quota", fresh: true},
		{name: "without labels", pod: &corev1.Pod{}, fresh: true},
	} {
		for _, format := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
			t.Run(test.name+", "+format, func(t *testing.T) {
				try := func(create func(*Control) error) (o outcome) {
					api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						o.asked, o.contentType = r.Method+" "+r.URL.String(), r.Header.Get("Content-Type")
						o.body, _ = io.ReadAll(r.Body)
						info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), format)
						w.Header().Set("Content-Type", format)
						w.WriteHeader(test.code)
						_ = scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion).Encode(test.answer, w)
					}))
					defer api.Close()
					client, err := kubernetes.NewForConfig(&rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf}})
					if err != nil {
						t.Fatal(err)
					}
					events := record.NewFakeRecorder(1)
					informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.Pod{}, 0, cache.Indexers{})
					if err := informer.GetStore().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "old", ResourceVersion: "5"}}); err != nil {
						t.Fatal(err)
					}
					control := &Control{Client: client, Events: events, Informer: informer, Tracker: &freshness.Tracker{}}
					if err := create(control); err != nil {
						o.err = err.Error()
					}
					select {
					case o.event = <-events.Events:
					default:
					}
					o.fresh = control.Tracker.Fresh(cache.MetaObjectToName(owner))
					return o
				}
				want := try(func(c *Control) error { return c.Create(t.Context(), owner, test.pod) })
				got := try(func(c *Control) error {
					copies, err := c.Copies(owner, test.pod)
					if err != nil {
						return err
					}
					return copies.Create(t.Context())
				})
				if !reflect.DeepEqual(got, want) {
					t.Errorf("copies come to\n%+v\none by one it is\n%+v", got, want)
				}
				if got.event != test.event || got.fresh != test.fresh {
					t.Errorf("it comes to %+v", got)
				}
			})
		}
	}
}
