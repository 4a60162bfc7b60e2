package pod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/howdah/howdah/controllers/owned"
)

const byNode = "spec.nodeName"

// ByNode returns a function that gives the pods bound to a node. Its index of
// the shared informer is made once, whoever asks.
func ByNode(informer cache.SharedIndexInformer) (func(node string) []*corev1.Pod, error) {
	err := owned.AddIndex(informer, byNode, func(object any) ([]string, error) {
		if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
			return []string{pod.Spec.NodeName}, nil
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	return func(node string) []*corev1.Pod {
		pods, err := owned.Indexed[*corev1.Pod](informer, byNode, node)
		if err != nil {
			return nil // only an index that doesn't exist is an error
		}
		return pods
	}, nil
}
