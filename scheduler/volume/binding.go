package volume

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// binding is VolumeBinding: claims' volumes must be reachable from the node, and
// claims that wait for it get theirs there.
type binding struct {
	*Volumes
	args Args
}

func (b *binding) Name() string { return placement.VolumeBinding }

func (b *binding) Prepare(pod *state.Pod, _ *state.Cluster) (placement.Prepared, *placement.Status) {
	refuse := func(reason string) *placement.Status {
		return &placement.Status{Unresolvable: true, Reasons: []string{reason}}
	}
	p := &bound{binding: b, pod: pod.Obj, free: map[string][]*corev1.PersistentVolume{}, byNode: map[string]*found{}}
	immediate := false
	for i := range pod.Obj.Spec.Volumes {
		claim, err := b.claimOf(pod.Obj, &pod.Obj.Spec.Volumes[i])
		if err != nil {
			return nil, refuse(err.Error())
		}
		if claim == nil {
			continue
		}
		p.any = true
		if fullyBound(claim) {
			p.boundClaims = append(p.boundClaims, claim)
			continue
		}
		waits, err := volumehelpers.IsDelayBindingMode(claim, b.classes)
		if err != nil {
			return nil, &placement.Status{Err: err}
		}
		if waits && claim.Spec.VolumeName == "" {
			p.waiting = append(p.waiting, claim)
		} else {
			immediate = true
		}
	}
	switch {
	case !p.any:
		return nil, nil
	case immediate:
		return nil, refuse("pod has unbound immediate PersistentVolumeClaims")
	}
	for _, claim := range p.waiting {
		class := volumehelpers.GetPersistentVolumeClaimClass(claim)
		if p.free[class] == nil {
			volumes, err := b.ofClass(class)
			if err != nil {
				return nil, &placement.Status{Err: err}
			}
			p.free[class] = volumes
		}
	}
	return p, nil
}

// claimOf is the claim behind a pod's volume; nil: there is none to be behind.
func (v *Volumes) claimOf(pod *corev1.Pod, volume *corev1.Volume) (*corev1.PersistentVolumeClaim, error) {
	name := ""
	switch {
	case volume.PersistentVolumeClaim != nil:
		name = volume.PersistentVolumeClaim.ClaimName
	case volume.Ephemeral != nil:
		name = ephemeral.VolumeClaimName(pod, volume)
	default:
		return nil, nil
	}
	claim, err := v.claim(pod.Namespace, name)
	if err != nil {
		if volume.Ephemeral != nil && apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", name)
		}
		return nil, err
	}
	if claim.Status.Phase == corev1.ClaimLost {
		return nil, fmt.Errorf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claim.Name, claim.Spec.VolumeName)
	}
	if claim.DeletionTimestamp != nil {
		return nil, fmt.Errorf("persistentvolumeclaim %q is being deleted", claim.Name)
	}
	if volume.Ephemeral != nil {
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			return nil, err
		}
	}
	return claim, nil
}

func fullyBound(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.VolumeName != "" && metav1.HasAnnotation(claim.ObjectMeta, volumehelpers.AnnBindCompleted)
}

// bound is what a pod's claims ask of nodes.
type bound struct {
	*binding
	pod         *corev1.Pod
	any         bool
	boundClaims []*corev1.PersistentVolumeClaim
	waiting     []*corev1.PersistentVolumeClaim       // for a node
	free        map[string][]*corev1.PersistentVolume // by class
	byNode      map[string]*found
	static      bool // on some node there is a volume for a waiting claim
}

// found is what the waiting claims get on one node.
type found struct {
	matches    []match
	provisions []provision
}

type match struct {
	volume *corev1.PersistentVolume
	claim  *corev1.PersistentVolumeClaim
}

type provision struct {
	claim    *corev1.PersistentVolumeClaim
	capacity *storagev1.CSIStorageCapacity // nil: unlimited, as far as is known
}

func (p *bound) Only() map[string]bool { return nil }

const (
	noMatch    = "node(s) didn't find available persistent volumes to bind"
	noAffinity = "node(s) didn't match PersistentVolume's node affinity"
	noSpace    = "node(s) did not have enough free storage"
	noVolume   = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
)

func (p *bound) Filter(node *state.Node) *placement.Status {
	var reasons []string
	reason, err := p.reachable(node.Obj)
	if err != nil {
		return &placement.Status{Err: err}
	}
	if reason == noAffinity {
		reasons = append(reasons, reason)
	}
	result, why, err := p.find(node.Obj)
	if err != nil {
		return &placement.Status{Err: err}
	}
	if why != "" {
		reasons = append(reasons, why)
	}
	if reason == noVolume {
		reasons = append(reasons, reason)
	}
	if len(reasons) > 0 {
		return &placement.Status{Unresolvable: true, Reasons: reasons}
	}
	p.byNode[node.Name()] = result
	p.static = p.static || len(result.matches) > 0
	return nil
}

// reachable says why a bound volume can't be reached from a node, or "".
func (p *bound) reachable(node *corev1.Node) (string, error) {
	csiNode := p.csiNode(node.Name)
	for _, claim := range p.boundClaims {
		volume, err := p.volume(claim.Spec.VolumeName)
		if apierrors.IsNotFound(err) {
			return noVolume, nil
		}
		if err != nil {
			return "", err
		}
		if volume, err = p.translate(volume, csiNode); err != nil {
			return "", err
		}
		if volumehelpers.CheckNodeAffinity(volume, node.Labels) != nil {
			return noAffinity, nil
		}
	}
	return "", nil
}

// find looks for volumes for the waiting claims, the smallest first, and for
// whether those without one can be given one.
func (p *bound) find(node *corev1.Node) (*found, string, error) {
	out := &found{}
	var toMatch, provide []*corev1.PersistentVolumeClaim
	for _, claim := range p.waiting {
		selected, ok := claim.Annotations[volumehelpers.AnnSelectedNode]
		switch {
		case ok && selected != node.Name:
			return nil, noMatch, nil
		case ok:
			provide = append(provide, claim)
		default:
			toMatch = append(toMatch, claim)
		}
	}
	slices.SortStableFunc(toMatch, func(a, b *corev1.PersistentVolumeClaim) int {
		x, y := a.Spec.Resources.Requests[corev1.ResourceStorage], b.Spec.Resources.Requests[corev1.ResourceStorage]
		return x.Cmp(y)
	})
	chosen := map[string]*corev1.PersistentVolume{}
	for _, claim := range toMatch {
		volume, err := volumehelpers.FindMatchingVolume(claim, p.free[volumehelpers.GetPersistentVolumeClaimClass(claim)], node, chosen, true, true)
		if err != nil {
			return nil, "", err
		}
		if volume == nil {
			provide = append(provide, claim)
			continue
		}
		chosen[volume.Name] = volume
		out.matches = append(out.matches, match{volume, claim})
	}
	why, err := p.provide(out, provide, node)
	return out, why, err
}
