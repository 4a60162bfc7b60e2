package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
)

// clientTimeout bounds each test of this file.
const clientTimeout = 2 * time.Minute

// retryInterval is the pause of a client whose server is away.
const retryInterval = 20 * time.Millisecond

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// config is the administrator's access to a server.
func (s *server) config() *rest.Config {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig())
	if err != nil {
		s.t.Fatal(err)
	}
	config.QPS = -1
	return config
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	t.Cleanup(cancel)
	return ctx
}

// newNamespace makes a namespace for one test.
func newNamespace(ctx context.Context, t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	namespace, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "client-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// TestClients does the same with typed clients in each encoding, the dynamic
// and the metadata client, and with the next server in turn.
func TestClients(t *testing.T) {
	targets(t, func(t *testing.T, c *cluster) {
		for _, contentType := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON, runtime.ContentTypeCBOR} {
			t.Run(strings.TrimPrefix(contentType, "application/"), func(t *testing.T) {
				ctx := testContext(t)
				var clients []*kubernetes.Clientset
				for _, server := range c.servers {
					config := server.config()
					config.ContentType = contentType
					config.AcceptContentTypes = contentType + "," + runtime.ContentTypeJSON
					clients = append(clients, must(kubernetes.NewForConfig(config))(t))
				}
				calls := 0
				next := func() *kubernetes.Clientset { calls++; return clients[calls%len(clients)] }
				namespace := newNamespace(ctx, t, next())

				created := must(next().CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}, Data: map[string]string{"k": "1"}, BinaryData: map[string][]byte{"b": {0, 255, 1}},
				}, metav1.CreateOptions{}))(t)
				read := must(next().CoreV1().ConfigMaps(namespace).Get(ctx, created.Name, metav1.GetOptions{}))(t)
				if read.ResourceVersion != created.ResourceVersion || read.UID != created.UID || len(read.BinaryData["b"]) != 3 {
					t.Errorf("read %+v", read)
				}
				read.Data["k"] = "2"
				updated := must(next().CoreV1().ConfigMaps(namespace).Update(ctx, read, metav1.UpdateOptions{}))(t)
				if _, err := next().CoreV1().ConfigMaps(namespace).Update(ctx, read, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
					t.Errorf("a stale update: %v", err)
				}
				applied := must(next().CoreV1().ConfigMaps(namespace).Apply(ctx, corev1apply.ConfigMap(created.Name, namespace).WithData(map[string]string{"applied": "yes"}), metav1.ApplyOptions{FieldManager: "test"}))(t)
				if applied.Data["applied"] != "yes" || applied.Data["k"] != "2" || applied.ResourceVersion == updated.ResourceVersion {
					t.Errorf("applied %+v", applied)
				}
				patched := must(next().CoreV1().ConfigMaps(namespace).Patch(ctx, created.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"l":"v"}}}`), metav1.PatchOptions{}))(t)
				list := must(next().CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: "l=v", Limit: 10}))(t)
				if len(list.Items) != 1 || list.Items[0].ResourceVersion != patched.ResourceVersion {
					t.Errorf("list %+v", list)
				}
				if err := next().CoreV1().ConfigMaps(namespace).Delete(ctx, created.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(types.UID)}}); !apierrors.IsConflict(err) {
					t.Errorf("delete of another UID: %v", err)
				}
				if err := next().CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "l=v"}); err != nil {
					t.Error(err)
				}
				if _, err := next().CoreV1().ConfigMaps(namespace).Get(ctx, created.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Errorf("get after delete: %v", err)
				}
			})
		}
		t.Run("dynamic", func(t *testing.T) {
			ctx := testContext(t)
			config := c.servers[0].config()
			namespace := newNamespace(ctx, t, must(kubernetes.NewForConfig(config))(t))
			client := must(dynamic.NewForConfig(config))(t).Resource(configMaps).Namespace(namespace)
			object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"k": "1"}}}
			must(client.Create(ctx, object, metav1.CreateOptions{}))(t)
			object.Object["data"] = map[string]any{"k": "2"}
			must(client.Apply(ctx, "a", object, metav1.ApplyOptions{FieldManager: "test", Force: true}))(t)
			list := must(client.List(ctx, metav1.ListOptions{}))(t)
			if len(list.Items) != 1 || list.Items[0].Object["data"].(map[string]any)["k"] != "2" {
				t.Errorf("list %v", list)
			}
			partial := must(must(metadata.NewForConfig(config))(t).Resource(configMaps).Namespace(namespace).List(ctx, metav1.ListOptions{}))(t)
			if len(partial.Items) != 1 || partial.Items[0].Name != "a" || partial.Items[0].UID != list.Items[0].GetUID() {
				t.Errorf("metadata %v", partial)
			}
		})
	}, alone)
}

// must ends the test when a call fails: must(call())(t).
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// requests records the queries that a client sends.
type requests struct {
	mu      sync.Mutex
	queries []string
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.queries = append(r.queries, request.URL.RawQuery)
		r.mu.Unlock()
		return next.RoundTrip(request)
	})
}

// initial are the requests that ask for everything, one way or the other.
func (r *requests) initial() (lists, watchLists int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, query := range r.queries {
		switch {
		case strings.Contains(query, "sendInitialEvents=true"):
			watchLists++
		case !strings.Contains(query, "watch=true"):
			lists++
		}
	}
	return lists, watchLists
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// handled counts what an informer tells of each object.
type handled struct {
	mu       sync.Mutex
	versions map[string][]int64 // of each object, as told
	deleted  map[string]int
	wrong    []string
	changed  chan struct{}
}

func newHandled() *handled {
	return &handled{versions: map[string][]int64{}, deleted: map[string]int{}, changed: make(chan struct{}, 1)}
}

func (h *handled) tell(change func(name string, version int64), object any) {
	meta := object.(metav1.Object)
	version, _ := strconv.ParseInt(meta.GetResourceVersion(), 10, 64)
	h.mu.Lock()
	change(meta.GetName(), version)
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *handled) OnAdd(object any, _ bool) {
	h.tell(func(name string, version int64) {
		if len(h.versions[name]) > 0 {
			h.wrong = append(h.wrong, "added twice: "+name)
		}
		h.versions[name] = append(h.versions[name], version)
	}, object)
}

func (h *handled) OnUpdate(_, object any) {
	h.tell(func(name string, version int64) {
		told := h.versions[name]
		if len(told) == 0 || told[len(told)-1] >= version {
			h.wrong = append(h.wrong, fmt.Sprintf("%s: version %d after %v", name, version, told))
		}
		h.versions[name] = append(told, version)
	}, object)
}

func (h *handled) OnDelete(object any) {
	if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = missed.Obj
		h.tell(func(name string, _ int64) { h.wrong = append(h.wrong, "missed the delete of "+name) }, object)
	}
	h.tell(func(name string, _ int64) { h.deleted[name]++ }, object)
}

// await waits until check, called under the lock, holds.
func (h *handled) await(ctx context.Context, t *testing.T, what string, check func() bool) {
	t.Helper()
	for {
		h.mu.Lock()
		done := check()
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.changed:
		case <-ctx.Done():
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Fatalf("%s was not told of; got %d objects, deleted %d", what, len(h.versions), len(h.deleted))
		}
	}
}

// TestInformers starts informers by WatchList and takes a server away under
// them: each change is told once and in order, and nothing is listed again.
func TestInformers(t *testing.T) {
	const objects = 50
	lastName := fmt.Sprintf("object-%d", objects-1)
	kinds := map[string]func(config *rest.Config, namespace string) (cache.SharedIndexInformer, error){
		"typed": func(config *rest.Config, namespace string) (cache.SharedIndexInformer, error) {
			config.ContentType = runtime.ContentTypeProtobuf
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return nil, err
			}
			return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace)).Core().V1().ConfigMaps().Informer(), nil
		},
		"dynamic": func(config *rest.Config, namespace string) (cache.SharedIndexInformer, error) {
			client, err := dynamic.NewForConfig(config)
			if err != nil {
				return nil, err
			}
			return dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil).ForResource(configMaps).Informer(), nil
		},
	}
	targets(t, func(t *testing.T, c *cluster) {
		ctx := testContext(t)
		watched, writer := c.servers[0], c.servers[len(c.servers)-1]
		client := must(kubernetes.NewForConfig(writer.config()))(t)
		namespace := newNamespace(ctx, t, client)
		write := func(i int) {
			t.Helper()
			name := fmt.Sprintf("object-%d", i)
			must(client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
			must(client.CoreV1().ConfigMaps(namespace).Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{}))(t)
		}
		for i := range objects - 1 {
			write(i)
		}
		told, sent := map[string]*handled{}, map[string]*requests{}
		for kind, make := range kinds {
			told[kind], sent[kind] = newHandled(), &requests{}
			config := watched.config()
			config.Wrap(sent[kind].wrap)
			informer := must(make(config, namespace))(t)
			must(informer.AddEventHandler(told[kind]))(t)
			running, stop := context.WithCancel(ctx)
			defer stop()
			go informer.RunWithContext(running)
			if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				t.Fatalf("%s: the informer did not sync", kind)
			}
			if lists, watchLists := sent[kind].initial(); lists != 0 || watchLists != 1 {
				t.Errorf("%s: %d lists and %d watch lists to start, want only one watch list", kind, lists, watchLists)
			}
		}
		// A watch that ends within a second without an event makes a client
		// start over, whatever the server.
		write(objects - 1)
		for _, h := range told {
			h.await(ctx, t, "the last object", func() bool { return len(h.versions[lastName]) == 2 })
		}
		watched.stop()
		if writer != watched {
			for i := range objects { // while the watched server is away
				write(objects + i)
			}
		}
		watched.start()
		if writer == watched {
			for i := range objects {
				write(objects + i)
			}
		}
		if err := client.CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		for kind, h := range told {
			h.await(ctx, t, "every delete", func() bool { return len(h.deleted) == 2*objects })
			for name, versions := range h.versions {
				want := 2 // created and patched
				if n, _ := strconv.Atoi(strings.TrimPrefix(name, "object-")); n < objects-1 {
					want = 1 // listed
				}
				if len(versions) != want || h.deleted[name] != 1 {
					t.Errorf("%s: %s was told %d times and deleted %d times", kind, name, len(versions), h.deleted[name])
				}
			}
			if len(h.wrong) > 0 {
				t.Errorf("%s: %s", kind, h.wrong)
			}
			if lists, watchLists := sent[kind].initial(); lists != 0 || watchLists != 1 {
				t.Errorf("%s: %d lists and %d watch lists after the restart, want no more", kind, lists, watchLists)
			}
		}
	}, alone)
}

// TestWatchAcrossRestarts writes without pause while the watched server is
// stopped, and then killed: the watch goes on from its last version and gives
// every write once, in order.
func TestWatchAcrossRestarts(t *testing.T) {
	const writes = 300
	targets(t, func(t *testing.T, c *cluster) {
		ctx := testContext(t)
		watched, writer := c.servers[0], c.servers[len(c.servers)-1]
		client, reader := must(kubernetes.NewForConfig(writer.config()))(t), must(kubernetes.NewForConfig(watched.config()))(t)
		namespace := newNamespace(ctx, t, client)
		start := must(reader.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{}))(t)
		source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return reader.CoreV1().ConfigMaps(namespace).Watch(ctx, options)
		}}
		watcher := must(watchtools.NewRetryWatcherWithContext(ctx, start.ResourceVersion, source))(t)
		defer watcher.Stop()

		// The restarts happen at a third and at two thirds of the writes.
		reached := []chan struct{}{make(chan struct{}), make(chan struct{})}
		written := make(chan error, 1)
		go func() {
			written <- func() error {
				for i := range writes {
					if i > 0 && i%(writes/3) == 0 {
						close(reached[i/(writes/3)-1])
					}
					object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%03d", i)}}
					var last error
					err := wait.PollUntilContextCancel(ctx, retryInterval, true, func(ctx context.Context) (bool, error) {
						_, last = client.CoreV1().ConfigMaps(namespace).Create(ctx, object, metav1.CreateOptions{})
						// It exists already when the answer was lost, not the write.
						return last == nil || apierrors.IsAlreadyExists(last), nil
					})
					if err != nil {
						return fmt.Errorf("write %d: %w", i, last)
					}
				}
				return nil
			}()
		}()
		for round, end := range []func(){watched.stop, watched.kill} {
			select {
			case <-reached[round]:
			case err := <-written:
				if err != nil {
					t.Fatal(err)
				}
				written <- nil // all was written while the server was down
			}
			end()
			watched.start()
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for i := range writes {
			select {
			case event, open := <-watcher.ResultChan():
				if !open || event.Type != watch.Added {
					t.Fatalf("event %d is %+v", i, event)
				}
				object := event.Object.(*corev1.ConfigMap)
				version, _ := strconv.ParseInt(object.ResourceVersion, 10, 64)
				if want := fmt.Sprintf("object-%03d", i); object.Name != want || version <= last {
					t.Fatalf("event %d is of %s at %d, want %s after %d", i, object.Name, version, want, last)
				}
				last = version
			case <-ctx.Done():
				t.Fatalf("event %d of %d did not come", i, writes)
			}
		}
	}, alone)
}

// TestSelectors compares what selectors choose with what the client chooses.
func TestSelectors(t *testing.T) {
	ctx := testContext(t)
	client := must(kubernetes.NewForConfig(newServer(t, "").config()))(t)
	namespace := newNamespace(ctx, t, client)
	var pods []*corev1.Pod
	for i := range 12 {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Labels: map[string]string{"n": strconv.Itoa(i % 3)}},
			Spec:       corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i%4), Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		if i%2 == 0 {
			pod.Labels["even"] = ""
		}
		pods = append(pods, must(client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}))(t))
	}
	for _, label := range []string{"", "n=1", "n!=1", "n in (0,2)", "n notin (0,2)", "even", "!even", "even,n=2", "n=7", "n>1"} {
		for _, field := range []string{"", "spec.nodeName=node-1", "spec.nodeName!=node-1", "metadata.name=pod-4", "status.phase=Pending,spec.nodeName=node-2"} {
			list := must(client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: label, FieldSelector: field}))(t)
			labelSelector, fieldSelector := must(labels.Parse(label))(t), must(fields.ParseSelector(field))(t)
			want := map[string]bool{}
			for _, pod := range pods {
				if labelSelector.Matches(labels.Set(pod.Labels)) && fieldSelector.Matches(fields.Set{
					"metadata.name": pod.Name, "spec.nodeName": pod.Spec.NodeName, "status.phase": string(pod.Status.Phase),
				}) {
					want[pod.Name] = true
				}
			}
			for _, pod := range list.Items {
				if !want[pod.Name] {
					t.Errorf("%q and %q: %s does not match", label, field, pod.Name)
				}
				delete(want, pod.Name)
			}
			if len(want) > 0 {
				t.Errorf("%q and %q: %v are missing", label, field, want)
			}
		}
	}
}
