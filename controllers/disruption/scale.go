package disruption

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/scale"
)

// scales find how many pods the controllers of pods want.
type scales struct {
	deployments  appslisters.DeploymentLister
	replicaSets  appslisters.ReplicaSetLister
	statefulSets appslisters.StatefulSetLister
	controllers  corelisters.ReplicationControllerLister
	mapper       meta.RESTMapper
	discovery    discovery.DiscoveryInterface
	client       scale.ScalesGetter
}

// A scaled is what controls pods, and how many it wants.
type scaled struct {
	uid      types.UID
	replicas int32
}

// expected sums what the pods' controllers want. Pods without one are returned
// apart: how many of them there should be nobody knows.
func (s *scales) expected(ctx context.Context, pods []*corev1.Pod) (total int32, unmanaged []string, err error) {
	wanted := map[types.UID]int32{}
	asked := map[types.UID]bool{}
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			unmanaged = append(unmanaged, p.Name)
			continue
		}
		if asked[ref.UID] {
			continue
		}
		asked[ref.UID] = true
		found, err := s.of(ctx, ref, p.Namespace)
		if err != nil {
			return 0, nil, err
		}
		if found == nil {
			return 0, nil, fmt.Errorf("found no controllers for pod %q", p.Name)
		}
		wanted[found.uid] = found.replicas
	}
	for _, replicas := range wanted {
		total += replicas
	}
	return total, unmanaged, nil
}

// of is what a reference points to, or nil if that is gone. Deployments count
// instead of their ReplicaSets.
func (s *scales) of(ctx context.Context, ref *metav1.OwnerReference, namespace string) (*scaled, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, err
	}
	switch (schema.GroupKind{Group: gv.Group, Kind: ref.Kind}) {
	case schema.GroupKind{Kind: "ReplicationController"}:
		rc, err := s.controllers.ReplicationControllers(namespace).Get(ref.Name)
		if err == nil && rc.UID == ref.UID {
			return &scaled{rc.UID, *rc.Spec.Replicas}, nil
		}
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		set, err := s.statefulSets.StatefulSets(namespace).Get(ref.Name)
		if err == nil && set.UID == ref.UID {
			return &scaled{set.UID, *set.Spec.Replicas}, nil
		}
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		set, err := s.replicaSets.ReplicaSets(namespace).Get(ref.Name)
		if err != nil || set.UID != ref.UID {
			break
		}
		if by := metav1.GetControllerOfNoCopy(set); by != nil && by.Kind == "Deployment" {
			d, err := s.deployments.Deployments(namespace).Get(by.Name)
			if err != nil || d.UID != by.UID {
				break
			}
			return &scaled{d.UID, *d.Spec.Replicas}, nil
		}
		return &scaled{set.UID, *set.Spec.Replicas}, nil
	}
	return s.bySubresource(ctx, gv, ref, namespace)
}

// bySubresource asks the API, for any kind that can be scaled.
func (s *scales) bySubresource(ctx context.Context, gv schema.GroupVersion, ref *metav1.OwnerReference, namespace string) (*scaled, error) {
	mapping, err := s.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, gv.Version)
	if err != nil {
		return nil, err
	}
	resource := mapping.Resource.GroupResource()
	found, err := s.client.Scales(namespace).Get(ctx, resource, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		// Gone, or a kind that has no scale.
		list, err := s.discovery.ServerResourcesForGroupVersion(mapping.Resource.GroupVersion().String())
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == mapping.Resource.Resource+"/scale" }) {
			return nil, fmt.Errorf("%s does not implement the scale subresource", resource)
		}
		return nil, nil
	case err != nil:
		return nil, err
	case found.UID != ref.UID:
		return nil, nil
	}
	return &scaled{found.UID, found.Spec.Replicas}, nil
}
