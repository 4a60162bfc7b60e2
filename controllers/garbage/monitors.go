package garbage

import (
	"context"
	"errors"
	"maps"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"
)

// monitors watch one resource each. Only [collector.watch] uses them.
type monitors struct {
	x       *collector
	running map[schema.GroupVersionResource]*monitor
}

type monitor struct {
	x    *collector
	kind *kind
	stop func() // returns when nothing more is told
}

func newMonitors(x *collector) *monitors {
	return &monitors{x: x, running: map[schema.GroupVersionResource]*monitor{}}
}

func (m *monitors) stop() {
	var all sync.WaitGroup
	for _, one := range m.running {
		all.Go(one.stop)
	}
	all.Wait()
}

// update discovers, starts monitors of resources that are new and ends those of
// resources that are gone, whose objects are gone with them.
func (m *monitors) update(ctx context.Context) error {
	groups, lists, err := m.x.discovery.ServerGroupsAndResources()
	unknown := map[string]bool{} // groups that didn't answer
	if err != nil {
		var failed *discovery.ErrGroupDiscoveryFailed
		if !errors.As(err, &failed) {
			return err
		}
		for version := range failed.Groups {
			unknown[version.Group] = true
		}
	}
	kinds, wanted := discovered(groups, lists, m.x.ignored)
	m.x.mu.Lock()
	if len(unknown) > 0 {
		merged := maps.Clone(m.x.kinds)
		if merged == nil {
			merged = map[schema.GroupVersionKind]*kind{}
		}
		maps.Copy(merged, kinds)
		kinds = merged
	}
	m.x.kinds = kinds
	m.x.mu.Unlock()
	for resource, k := range wanted {
		if m.running[resource] == nil {
			m.running[resource] = m.start(ctx, k)
		}
	}
	for resource, one := range m.running {
		if wanted[resource] == nil && !unknown[resource.Group] {
			one.stop()
			one.forget()
			delete(m.running, resource)
		}
	}
	return err
}

// discovered are all kinds there are, and the resources to watch: each once, in
// its group's preferred version if that has it.
func discovered(groups []*metav1.APIGroup, lists []*metav1.APIResourceList, ignored map[schema.GroupResource]bool) (map[schema.GroupVersionKind]*kind, map[schema.GroupVersionResource]*kind) {
	byVersion := map[string]*metav1.APIResourceList{}
	for _, list := range lists {
		byVersion[list.GroupVersion] = list
	}
	kinds, wanted := map[schema.GroupVersionKind]*kind{}, map[schema.GroupVersionResource]*kind{}
	for _, group := range groups {
		taken := map[string]bool{}
		versions := append([]metav1.GroupVersionForDiscovery{group.PreferredVersion}, group.Versions...)
		for _, version := range versions {
			list := byVersion[version.GroupVersion]
			gv, err := schema.ParseGroupVersion(version.GroupVersion)
			if list == nil || err != nil {
				continue
			}
			delete(byVersion, version.GroupVersion) // the preferred one comes twice
			for i := range list.APIResources {
				r := &list.APIResources[i]
				if !(discovery.SupportsAllVerbs{Verbs: []string{"get"}}).Match(list.GroupVersion, r) {
					continue
				}
				k := &kind{resource: gv.WithResource(r.Name), apiVersion: version.GroupVersion, kind: r.Kind, namespaced: r.Namespaced}
				if gvk := gv.WithKind(r.Kind); kinds[gvk] == nil && !isSubresource(r.Name) {
					kinds[gvk] = k
				}
				if watched := (discovery.SupportsAllVerbs{Verbs: []string{"delete", "list", "watch"}}); !taken[r.Name] && watched.Match(list.GroupVersion, r) && !ignored[k.resource.GroupResource()] {
					taken[r.Name] = true
					wanted[k.resource] = k
				}
			}
		}
	}
	return kinds, wanted
}

func isSubresource(name string) bool {
	for i := range len(name) {
		if name[i] == '/' {
			return true
		}
	}
	return false
}

func (m *monitors) start(ctx context.Context, k *kind) *monitor {
	one := &monitor{x: m.x, kind: k}
	if m.x.source != nil {
		if stop, ok := m.x.source.Follow(k.resource, one); ok {
			one.stop = stop
			return one
		}
	}
	one.stop = m.reflect(ctx, k, one)
	return one
}

// reflect watches the API.
func (m *monitors) reflect(ctx context.Context, k *kind, one *monitor) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	objects := m.x.objects.Resource(k.resource)
	reflector := cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return objects.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return m.x.watcher.Watch(ctx, k.resource, options)
		},
	}, &metav1.PartialObjectMetadata{}, one, cache.ReflectorOptions{Name: "garbage-collector " + k.resource.String(), TypeDescription: k.resource.String()})
	go func() {
		defer close(done)
		m.x.life.Guard(func() { reflector.RunWithContext(ctx) })
	}()
	return func() {
		end()
		<-done
	}
}

// A monitor is where what is seen is put: into the graph.

func (one *monitor) Add(object any) error {
	seen, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil
	}
	one.x.mu.Lock()
	look := one.x.graph.observe(one.kind, seen)
	one.x.mu.Unlock()
	one.x.enqueue(look)
	return nil
}

func (one *monitor) Update(object any) error { return one.Add(object) }

func (one *monitor) Delete(object any) error {
	if seen, ok := object.(*metav1.PartialObjectMetadata); ok {
		one.remove(seen.UID)
	}
	return nil
}

func (one *monitor) remove(uid types.UID) {
	one.x.mu.Lock()
	if v := one.x.graph.look(uid); v != nil {
		namespace := v.namespace
		if !v.kind.namespaced {
			namespace = ""
		}
		one.x.absent.Add(reference{uid: uid, apiVersion: v.kind.apiVersion, kind: v.kind.kind, name: v.name, namespace: namespace}, nil)
	}
	look := one.x.graph.remove(uid)
	one.x.mu.Unlock()
	one.x.enqueue(look)
}

// Replace takes in everything there is; what isn't among it is gone.
func (one *monitor) Replace(objects []any, _ string) error {
	there := make(map[types.UID]bool, len(objects))
	for _, object := range objects {
		if seen, ok := object.(*metav1.PartialObjectMetadata); ok {
			there[seen.UID] = true
			if err := one.Add(seen); err != nil {
				return err
			}
		}
	}
	one.x.mu.Lock()
	known := one.x.graph.of(one.kind)
	one.x.mu.Unlock()
	for _, uid := range known {
		if !there[uid] {
			one.remove(uid)
		}
	}
	return nil
}

// Resync implements [cache.ReflectorStore].
func (one *monitor) Resync() error { return nil }

// forget takes all objects of the monitor's resource out of the graph.
func (one *monitor) forget() { _ = one.Replace(nil, "") }
