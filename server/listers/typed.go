package listers

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"

	"github.com/howdah/howdah/server/objects"
)

// Pods lists the pods of the store.
func Pods(s *objects.Store) corelisters.PodLister { return pods{lister[*corev1.Pod]{store: s}} }

type pods struct{ lister[*corev1.Pod] }

func (l pods) Pods(namespace string) corelisters.PodNamespaceLister {
	return lister[*corev1.Pod]{l.store, namespace}
}

// Services lists the services of the store.
func Services(s *objects.Store) corelisters.ServiceLister {
	return services{lister[*corev1.Service]{store: s}}
}

type services struct{ lister[*corev1.Service] }

func (l services) Services(namespace string) corelisters.ServiceNamespaceLister {
	return lister[*corev1.Service]{l.store, namespace}
}

// PersistentVolumes lists the volumes of the store.
func PersistentVolumes(s *objects.Store) corelisters.PersistentVolumeLister {
	return lister[*corev1.PersistentVolume]{store: s}
}

// PersistentVolumeClaims lists the claims of the store.
func PersistentVolumeClaims(s *objects.Store) corelisters.PersistentVolumeClaimLister {
	return claims{lister[*corev1.PersistentVolumeClaim]{store: s}}
}

type claims struct {
	lister[*corev1.PersistentVolumeClaim]
}

func (l claims) PersistentVolumeClaims(namespace string) corelisters.PersistentVolumeClaimNamespaceLister {
	return lister[*corev1.PersistentVolumeClaim]{l.store, namespace}
}

// EndpointSlices lists the slices of the store.
func EndpointSlices(s *objects.Store) discoverylisters.EndpointSliceLister {
	return endpointSlices{lister[*discoveryv1.EndpointSlice]{store: s}}
}

type endpointSlices struct {
	lister[*discoveryv1.EndpointSlice]
}

func (l endpointSlices) EndpointSlices(namespace string) discoverylisters.EndpointSliceNamespaceLister {
	return lister[*discoveryv1.EndpointSlice]{l.store, namespace}
}
