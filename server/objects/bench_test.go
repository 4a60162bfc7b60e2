package objects

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	podregistry "k8s.io/kubernetes/pkg/registry/core/pod"

	"github.com/howdah/howdah/storage"
)

// BenchmarkWrites goes through upstream's interface, 64 at a time.
func BenchmarkWrites(b *testing.B) {
	for _, d := range databases() {
		b.Run(d.name, func(b *testing.B) { benchmarkWrites(b, d.driver(b, d.fresh(b))) })
	}
}

func benchmarkWrites(b *testing.B, driver storage.Driver) {
	bytes, err := storage.New(storage.Options{Driver: driver})
	if err != nil {
		b.Fatal(err)
	}
	storages, err := NewStorageFactory()
	if err != nil {
		b.Fatal(err)
	}
	config, err := storages.NewConfig(core.Resource("pods"), &core.Pod{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{
		Store: bytes, Resource: core.Resource("pods"), Prefix: "/pods",
		Codec: config.Codec, Versioner: config.EncodeVersioner, Scheme: legacyscheme.Scheme,
		New: func() runtime.Object { return &core.Pod{} }, Attributes: podregistry.GetAttrs, Indexes: []string{"spec.nodeName"},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := bytes.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := bytes.Stop(ctx); err != nil {
			b.Error(err)
		}
	}()
	var created, updated atomic.Int64
	b.Run("create", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				key := fmt.Sprintf("/pods/default/pod-%d", created.Add(1))
				if err := s.Create(b.Context(), key, realisticPod(), &core.Pod{}, 0); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("update", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				n := updated.Add(1)
				key := fmt.Sprintf("/pods/default/pod-%d", n%created.Load()+1)
				err := s.GuaranteedUpdate(b.Context(), key, &core.Pod{}, false, nil, apistorage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
					obj.(*core.Pod).Status.Message = fmt.Sprint(n)
					return obj, nil
				}), nil)
				if err != nil {
					b.Error(err)
				}
			}
		})
	})
}
