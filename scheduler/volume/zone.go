package volume

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// zone is VolumeZone: volumes whose labels say where they are.
type zone struct{ *Volumes }

var zoneLabels = []string{corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyZone, corev1.LabelTopologyRegion}

func (z *zone) Name() string { return placement.VolumeZone }

func (z *zone) Prepare(pod *state.Pod, _ *state.Cluster) (placement.Prepared, *placement.Status) {
	var places zoned
	refuse := func(reason string) *placement.Status {
		return &placement.Status{Unresolvable: true, Reasons: []string{reason}}
	}
	for i := range pod.Obj.Spec.Volumes {
		source := pod.Obj.Spec.Volumes[i].PersistentVolumeClaim
		if source == nil {
			continue
		}
		if source.ClaimName == "" {
			return nil, refuse("PersistentVolumeClaim had no name")
		}
		claim, err := z.claims.PersistentVolumeClaims(pod.Obj.Namespace).Get(source.ClaimName)
		if err != nil {
			return nil, failure(err)
		}
		if claim.Spec.VolumeName == "" {
			name := volumehelpers.GetPersistentVolumeClaimClass(claim)
			if name == "" {
				return nil, refuse("PersistentVolumeClaim had no pv name and storageClass name")
			}
			class, err := z.classes.Get(name)
			switch {
			case err != nil:
				return nil, failure(err)
			case class.VolumeBindingMode == nil:
				return nil, refuse(fmt.Sprintf("VolumeBindingMode not set for StorageClass %q", name))
			case *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer:
				return nil, refuse("PersistentVolume had no name")
			}
			continue
		}
		volume, err := z.volumes.Get(claim.Spec.VolumeName)
		if err != nil {
			return nil, failure(err)
		}
		for _, label := range zoneLabels {
			if value, ok := volume.Labels[label]; ok {
				if values, ok := zoneSet(value); ok {
					places.at = append(places.at, place{label, values})
				}
			}
		}
	}
	if len(places.at) == 0 {
		return nil, nil
	}
	return &places, nil
}

// zoneSet reads zones that are separated by two underscores.
func zoneSet(value string) ([]string, bool) {
	zones := strings.Split(value, "__")
	for i := range zones {
		if zones[i] = strings.TrimSpace(zones[i]); zones[i] == "" {
			return nil, false
		}
	}
	return zones, true
}

type place struct {
	label  string
	values []string
}

type zoned struct {
	unscored
	at []place
}

func (z *zoned) Filter(node *state.Node) *placement.Status {
	labels := node.Obj.Labels
	if !slices.ContainsFunc(zoneLabels, func(label string) bool { _, ok := labels[label]; return ok }) {
		return nil // a node that says nothing of zones may be in any
	}
	for _, place := range z.at {
		value, ok := labels[place.label]
		if !ok {
			value, ok = labels[current(place.label)]
		}
		if !ok || !slices.Contains(place.values, value) {
			return &placement.Status{Unresolvable: true, Reasons: []string{"node(s) had no available volume zone"}}
		}
	}
	return nil
}

// current is the present name of a label that had another one in beta.
func current(label string) string {
	switch label {
	case corev1.LabelFailureDomainBetaRegion:
		return corev1.LabelTopologyRegion
	case corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	}
	return label
}
