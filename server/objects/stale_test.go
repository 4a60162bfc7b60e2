package objects

import (
	"context"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

// deaf is a driver that never hears of other servers' writes.
type deaf struct{ storage.Driver }

func (deaf) Listen(ctx context.Context, _ func()) { <-ctx.Done() }

// TestStaleCache lets one server work on what another one has changed meanwhile,
// without having heard of it.
func TestStaleCache(t *testing.T) {
	const key = "/pods/ns/a"
	for _, d := range databases() {
		if !d.shared {
			continue
		}
		for _, test := range []struct {
			name  string
			other func(*testing.T, *upstreamSetup) // what the other server does
			here  func(*testing.T, *upstreamSetup)
		}{
			{"an update that changes nothing", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				pod := change(t, x, func(pod *example.Pod) error { pod.Labels = map[string]string{"v": "old"}; return nil })
				if pod.Labels["v"] != "old" {
					t.Fatal("the other server's change survived")
				}
			}},
			{"an update that changes nothing on the latest", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				before := x.bytes.Revision()
				pod := change(t, x, func(pod *example.Pod) error { pod.Labels = map[string]string{"v": "new"}; return nil })
				if pod.Labels["v"] != "new" || x.bytes.Revision() != before+1 {
					t.Fatalf("something was written: %v, %d after %d", pod, x.bytes.Revision(), before)
				}
			}},
			{"an update that fails on the stale object", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				tries := 0
				pod := change(t, x, func(pod *example.Pod) error {
					tries++
					if pod.Labels["v"] != "new" {
						return errors.New("stale")
					}
					pod.Annotations = map[string]string{"done": "yes"}
					return nil
				})
				if tries != 2 || pod.Annotations["done"] != "yes" || pod.Labels["v"] != "new" {
					t.Fatalf("%d tries, %v", tries, pod)
				}
			}},
			{"an update that overwrites", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				pod := change(t, x, func(pod *example.Pod) error { pod.Annotations = map[string]string{"done": "yes"}; return nil })
				if pod.Annotations["done"] != "yes" || pod.Labels["v"] != "new" {
					t.Fatalf("the other server's change is lost: %v", pod)
				}
			}},
			{"an update of what is gone", remove, func(t *testing.T, x *upstreamSetup) {
				err := x.GuaranteedUpdate(x.ctx, key, &example.Pod{}, false, nil, apistorage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
					obj.(*example.Pod).Annotations = map[string]string{"done": "yes"}
					return obj, nil
				}), nil)
				if !apistorage.IsNotFound(err) {
					t.Fatal(err)
				}
			}},
			{"a delete that is allowed of the latest only", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				out := &example.Pod{}
				err := x.Delete(x.ctx, key, out, nil, func(_ context.Context, obj runtime.Object) error {
					if obj.(*example.Pod).Labels["v"] != "new" {
						return errors.New("stale")
					}
					return nil
				}, nil, apistorage.DeleteOptions{})
				if err != nil || out.Labels["v"] != "new" {
					t.Fatalf("%v, %v", err, out)
				}
			}},
			{"a delete of the stale object", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				out, validated := &example.Pod{}, 0
				err := x.Delete(x.ctx, key, out, nil, func(context.Context, runtime.Object) error { validated++; return nil }, nil, apistorage.DeleteOptions{})
				if err != nil || out.Labels["v"] != "new" || validated != 2 {
					t.Fatalf("%v, %v, validated %d times", err, out, validated)
				}
			}},
			{"a delete of what is gone", remove, func(t *testing.T, x *upstreamSetup) {
				err := x.Delete(x.ctx, key, &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, nil, apistorage.DeleteOptions{})
				if !apistorage.IsNotFound(err) {
					t.Fatal(err)
				}
			}},
			{"a create of what is there", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				if err := x.Create(x.ctx, key, newPod("a"), &example.Pod{}, 0); !apistorage.IsExist(err) {
					t.Fatal(err)
				}
			}},
			{"a create of what is gone", remove, func(t *testing.T, x *upstreamSetup) {
				if err := x.Create(x.ctx, key, newPod("a"), &example.Pod{}, 0); err != nil {
					t.Fatal(err)
				}
			}},
			{"a read", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				pod := &example.Pod{}
				if err := x.Get(x.ctx, key, apistorage.GetOptions{}, pod); err != nil || pod.Labels["v"] != "new" {
					t.Fatalf("%v, %v", err, pod)
				}
			}},
			{"a list", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				list := &example.PodList{}
				err := x.GetList(x.ctx, "/pods", apistorage.ListOptions{Recursive: true, Predicate: apistorage.Everything}, list)
				if err != nil || len(list.Items) != 1 || list.Items[0].Labels["v"] != "new" {
					t.Fatalf("%v, %v", err, list.Items)
				}
			}},
			{"a watch of the present", relabel("new"), func(t *testing.T, x *upstreamSetup) {
				w, err := x.Watch(x.ctx, "/pods", apistorage.ListOptions{Recursive: true, Predicate: apistorage.Everything})
				if err != nil {
					t.Fatal(err)
				}
				defer w.Stop()
				if event := <-w.ResultChan(); event.Object.(*example.Pod).Labels["v"] != "new" {
					t.Fatal(event)
				}
			}},
		} {
			t.Run(d.name+"/"+test.name, func(t *testing.T) {
				u, endpoint := upstream{"protobuf", d}, d.fresh(t)
				other := u.serve(t, d.driver(t, endpoint))
				if err := other.Create(other.ctx, key, newPod("a"), nil, 0); err != nil {
					t.Fatal(err)
				}
				here := u.serve(t, deaf{d.driver(t, endpoint)})
				test.other(t, other)
				test.here(t, here)
			})
		}
	}
}

func newPod(name string) *example.Pod {
	return &example.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", Labels: map[string]string{"v": "old"}}}
}

func change(t *testing.T, x *upstreamSetup, edit func(*example.Pod) error) *example.Pod {
	t.Helper()
	out := &example.Pod{}
	err := x.GuaranteedUpdate(x.ctx, "/pods/ns/a", out, false, nil, apistorage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
		return obj, edit(obj.(*example.Pod))
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func relabel(value string) func(*testing.T, *upstreamSetup) {
	return func(t *testing.T, x *upstreamSetup) {
		t.Helper()
		change(t, x, func(pod *example.Pod) error { pod.Labels = map[string]string{"v": value}; return nil })
	}
}

func remove(t *testing.T, x *upstreamSetup) {
	t.Helper()
	if err := x.Delete(x.ctx, "/pods/ns/a", &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, nil, apistorage.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
