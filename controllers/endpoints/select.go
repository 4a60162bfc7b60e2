package endpoints

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	endpointsliceutil "k8s.io/endpointslice/util"

	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/reconcile"
)

// bySelector finds Services by one pair of their selector, so that a pod is
// compared with those that could select it and not with all of its namespace.
const bySelector = "howdah.selector"

// behind calls changed with each Service whose endpoints a pod's event may
// change.
func behind(services cache.SharedIndexInformer, changed func(cache.ObjectName)) (reconcile.Events[*corev1.Pod], error) {
	if err := owned.AddIndex(services, bySelector, pairOfSelector); err != nil {
		return reconcile.Events[*corev1.Pod]{}, err
	}
	tell := func(pod *corev1.Pod) {
		for _, name := range selecting(services, pod) {
			changed(name)
		}
	}
	return reconcile.Events[*corev1.Pod]{
		Add: tell,
		Update: func(before, after *corev1.Pod) {
			key := endpointsliceutil.GetPodUpdateProjectionKey(before, after)
			if key == nil {
				return
			}
			if key.OldLabels != nil {
				tell(before)
			}
			tell(after)
		},
		Delete: tell,
	}, nil
}

func pairOfSelector(object any) ([]string, error) {
	service, ok := object.(*corev1.Service)
	if !ok {
		return nil, fmt.Errorf("%T is no Service", object)
	}
	first := ""
	for key := range service.Spec.Selector {
		if first == "" || key < first {
			first = key
		}
	}
	if first == "" {
		return nil, nil // selects nothing
	}
	return []string{pair(service.Namespace, first, service.Spec.Selector[first])}, nil
}

func pair(namespace, key, value string) string { return namespace + "/" + key + "=" + value }

// selecting are the Services that select a pod.
func selecting(services cache.SharedIndexInformer, pod *corev1.Pod) []cache.ObjectName {
	var names []cache.ObjectName
	for key, value := range pod.Labels {
		found, err := owned.Indexed[*corev1.Service](services, bySelector, pair(pod.Namespace, key, value))
		if err != nil {
			return nil // the index is there
		}
		for _, service := range found {
			if labels.ValidatedSetSelector(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
				names = append(names, cache.MetaObjectToName(service))
			}
		}
	}
	return names
}

// selects is whether the controllers of endpoints look after a Service: others
// do if it has no selector, and one that is a name for another host has none.
func selects(service *corev1.Service) bool {
	return service.Spec.Type != corev1.ServiceTypeExternalName && service.Spec.Selector != nil
}
