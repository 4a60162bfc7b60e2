package loopback

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// configMaps serves one collection as an API server without WatchList would.
func configMaps(t *testing.T, events <-chan metav1.WatchEvent, watchEnded chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, ok := User(r.Context()); !ok || u.GetName() != "alice" {
			t.Errorf("user %v", u)
		}
		query := r.URL.Query()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path != "/api/v1/configmaps":
			t.Errorf("%s %s", r.Method, r.URL)
		case query.Has("sendInitialEvents"):
			w.WriteHeader(http.StatusUnprocessableEntity)
			json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
				Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity, Message: "sendInitialEvents is forbidden",
			})
		case query.Has("watch"):
			defer func() { watchEnded <- struct{}{} }()
			http.NewResponseController(w).Flush()
			for {
				select {
				case <-r.Context().Done():
					return
				case event := <-events:
					json.NewEncoder(w).Encode(event)
					http.NewResponseController(w).Flush()
				}
			}
		default:
			list := corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}}
			list.ResourceVersion = "1"
			list.Items = []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: "first", Namespace: "default", ResourceVersion: "1"}}}
			json.NewEncoder(w).Encode(list)
		}
	})
}

// A shared informer lists, watches, and leaves nothing behind.
func TestInformer(t *testing.T) {
	events, watchEnded := make(chan metav1.WatchEvent), make(chan struct{})
	client, err := kubernetes.NewForConfig(Config(configMaps(t, events, watchEnded), alice))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string)
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().ConfigMaps().Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { seen <- "add " + obj.(*corev1.ConfigMap).Name },
		UpdateFunc: func(_, obj any) { seen <- "update " + obj.(*corev1.ConfigMap).Data["key"] },
		DeleteFunc: func(obj any) { seen <- "delete " + obj.(*corev1.ConfigMap).Name },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	expect := func(want string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
	expect("add first")
	send := func(kind, revision, value string) {
		object, err := json.Marshal(corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"},
			ObjectMeta: metav1.ObjectMeta{Name: "first", Namespace: "default", ResourceVersion: revision}, Data: map[string]string{"key": value},
		})
		if err != nil {
			t.Fatal(err)
		}
		event := metav1.WatchEvent{Type: kind}
		event.Object.Raw = object
		events <- event
	}
	send("MODIFIED", "2", "one")
	expect("update one")
	send("MODIFIED", "3", "two")
	expect("update two")
	send("DELETED", "4", "two")
	expect("delete first")
	close(stop)
	<-watchEnded // the handler's context ended with the informer
	factory.Shutdown()

	// Its goroutine ends right after that; nothing can tell but the runtime.
	buffer := make([]byte, 1<<20)
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		stacks := string(buffer[:runtime.Stack(buffer, true)])
		if !strings.Contains(stacks, "(*exchange).run") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a handler's goroutine is left:\n%s", stacks)
		}
	}
}
