package resourcequota

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/reconcile"
)

// unservedPause is after how long a resource that a quota counts, and that nobody
// serves, is looked for again.
const unservedPause = 30 * time.Second

// legacy are the names of counts from before count/RESOURCE.
var legacy = map[corev1.ResourceName]schema.GroupResource{
	corev1.ResourceConfigMaps: {Resource: "configmaps"}, corev1.ResourceQuotas: {Resource: "resourcequotas"},
	corev1.ResourceReplicationControllers: {Resource: "replicationcontrollers"}, corev1.ResourceSecrets: {Resource: "secrets"},
}

// counts are the resources of which a quota limits the number, and whose objects
// no shared informer has for us.
func counts(q *corev1.ResourceQuota) []schema.GroupResource {
	var all []schema.GroupResource
	for name := range q.Spec.Hard {
		resource, ok := legacy[name]
		if counted, is := strings.CutPrefix(string(name), "count/"); is {
			resource, ok = schema.ParseGroupResource(counted), true
		}
		if ok && !whole[resource] {
			all = append(all, resource)
		}
	}
	return all
}

// A counter watches, of what a quota counts, the names and nothing else. It
// watches until the controller's life ends.
type counter struct {
	informer cache.SharedIndexInformer
	handled  cache.ResourceEventHandlerRegistration
}

// prepare sees to it that what a quota counts can be counted. What nobody serves
// stays uncounted until somebody does.
func (x *controller) prepare(ctx context.Context, q *corev1.ResourceQuota) error {
	for _, resource := range counts(q) {
		if _, ignored := x.ignored[resource]; ignored {
			continue
		}
		c, err := x.counter(resource)
		if err != nil {
			return err
		}
		if c == nil {
			x.queue.AddAfter(cache.MetaObjectToName(q), unservedPause)
			continue
		}
		if !cache.WaitFor(ctx, "", c.handled.HasSyncedChecker()) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// counter finds or starts a resource's counter; it is nil if nobody serves the
// resource.
func (x *controller) counter(resource schema.GroupResource) (*counter, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.counters[resource]; c != nil {
		return c, nil
	}
	version, ok, err := x.preferred(resource)
	if err != nil || !ok {
		return nil, err
	}
	c := &counter{informer: metadatainformer.NewFilteredMetadataInformer(x.life.Metadata, version, metav1.NamespaceAll, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, nil).Informer()}
	if err := c.informer.SetTransform(nothingButNames); err != nil {
		return nil, fmt.Errorf("keep little of %s: %w", resource, err)
	}
	c.handled, err = c.informer.AddEventHandler(reconcile.Events[*metav1.PartialObjectMetadata]{
		Delete: func(object *metav1.PartialObjectMetadata) {
			x.life.Guard(func() { x.replenish(resource, object.Namespace) })
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", resource, err)
	}
	x.counters[resource] = c
	if x.registry.Get(resource) == nil {
		x.registry.Add(generic.NewObjectCountEvaluator(resource, generic.ListResourceUsingListerFunc(x.lister, version), ""))
	}
	x.running.Go(func() { x.life.Guard(func() { c.informer.Run(x.ended) }) })
	return c, nil
}

// preferred finds the version in which a resource is served.
func (x *controller) preferred(resource schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	lists, err := x.life.Client.Discovery().ServerPreferredNamespacedResources()
	if lists == nil && err != nil {
		return schema.GroupVersionResource{}, false, fmt.Errorf("find the resource %s: %w", resource, err)
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || version.Group != resource.Group {
			continue
		}
		for _, r := range list.APIResources {
			if r.Name == resource.Resource {
				return version.WithResource(r.Name), true, nil
			}
		}
	}
	return schema.GroupVersionResource{}, false, nil
}

func nothingButNames(object any) (any, error) {
	if seen, ok := object.(*metav1.PartialObjectMetadata); ok {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: seen.Namespace, Name: seen.Name, ResourceVersion: seen.ResourceVersion}}, nil
	}
	return object, nil
}

// lister gives quota's evaluators what they add up: whole objects from the
// shared informers where they look into them, names where they only count.
func (x *controller) lister(resource schema.GroupVersionResource) (cache.GenericLister, error) {
	if whole[resource.GroupResource()] {
		informer, err := x.life.Informers.ForResource(resource)
		if err != nil {
			return nil, err
		}
		return informer.Lister(), nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.counters[resource.GroupResource()]
	if c == nil {
		return nil, fmt.Errorf("%s is not served", resource.GroupResource())
	}
	return cache.NewGenericLister(c.informer.GetIndexer(), resource.GroupResource()), nil
}
