package volume

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// restrictions is VolumeRestrictions: disks that one node may have, and claims
// that one pod may have.
type restrictions struct{ *Volumes }

func (r *restrictions) Name() string { return placement.VolumeRestrictions }

func (r *restrictions) Prepare(pod *state.Pod, cluster *state.Cluster) (placement.Prepared, *placement.Status) {
	p := &restricted{pod: pod.Obj, cluster: cluster}
	for i := range pod.Obj.Spec.Volumes {
		volume := &pod.Obj.Spec.Volumes[i]
		if exclusive(volume) {
			p.disks = append(p.disks, volume)
		}
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		claim, err := r.claims.PersistentVolumeClaims(pod.Obj.Namespace).Get(volume.PersistentVolumeClaim.ClaimName)
		if err != nil {
			return nil, failure(err)
		}
		if slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
			p.claims = append(p.claims, claim.Namespace+"/"+claim.Name)
		}
	}
	for _, node := range cluster.Nodes() {
		for _, claim := range p.claims {
			p.users += node.Claims[claim]
		}
	}
	if len(p.disks) == 0 && p.users == 0 {
		return nil, nil
	}
	return p, nil
}

// failure refuses a pod for what is missing, or tells that something could not
// be looked up.
func failure(err error) *placement.Status {
	if apierrors.IsNotFound(err) {
		return &placement.Status{Unresolvable: true, Reasons: []string{err.Error()}}
	}
	return &placement.Status{Err: err}
}

type restricted struct {
	unscored
	pod     *corev1.Pod
	cluster *state.Cluster
	disks   []*corev1.Volume
	claims  []string
	users   int // of the claims, on all nodes
}

func (r *restricted) Filter(node *state.Node) *placement.Status {
	for _, disk := range r.disks {
		for _, other := range node.Pods {
			if conflicts(disk, other.Obj) {
				return &placement.Status{Reasons: []string{"node(s) had no available disk"}}
			}
		}
	}
	users := r.users
	for _, claim := range r.claims {
		// The node may be one with pods added or removed.
		users += node.Claims[claim] - r.cluster.Node(node.Name()).Claims[claim]
	}
	if users > 0 {
		return &placement.Status{Reasons: []string{"node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"}}
	}
	return nil
}

func exclusive(v *corev1.Volume) bool {
	return v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.RBD != nil || v.ISCSI != nil
}

// conflicts tells whether a pod has the disk in a way that excludes others.
func conflicts(v *corev1.Volume, pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		other := &pod.Spec.Volumes[i]
		switch {
		case v.GCEPersistentDisk != nil && other.GCEPersistentDisk != nil:
			a, b := v.GCEPersistentDisk, other.GCEPersistentDisk
			if a.PDName == b.PDName && !(a.ReadOnly && b.ReadOnly) {
				return true
			}
		case v.AWSElasticBlockStore != nil && other.AWSElasticBlockStore != nil:
			if v.AWSElasticBlockStore.VolumeID == other.AWSElasticBlockStore.VolumeID {
				return true
			}
		case v.ISCSI != nil && other.ISCSI != nil:
			if v.ISCSI.IQN == other.ISCSI.IQN && !(v.ISCSI.ReadOnly && other.ISCSI.ReadOnly) {
				return true
			}
		case v.RBD != nil && other.RBD != nil:
			a, b := v.RBD, other.RBD
			shared := slices.ContainsFunc(a.CephMonitors, func(m string) bool { return slices.Contains(b.CephMonitors, m) })
			if shared && a.RBDPool == b.RBDPool && a.RBDImage == b.RBDImage && !(a.ReadOnly && b.ReadOnly) {
				return true
			}
		}
	}
	return false
}
