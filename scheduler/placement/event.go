package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/component-helpers/storage/ephemeral"

	"github.com/howdah/howdah/scheduler/state"
)

// A Cause is a kind of event that may let a pod be placed that no node took
// before. The names are those that kube-scheduler's metrics use.
type Cause string

// Causes that plugins of this package know, and those that others may add.
const (
	PodAdded         Cause = "AssignedPodAdd"
	PodLabeled       Cause = "AssignedPodUpdatePodLabel"
	PodScaledDown    Cause = "AssignedPodUpdatePodScaleDown"
	PodDeleted       Cause = "AssignedPodDelete"
	NodeAdded        Cause = "NodeAdd"
	NodeDeleted      Cause = "NodeDelete"
	NodeAllocatable  Cause = "NodeUpdateNodeAllocatable"
	NodeLabeled      Cause = "NodeUpdateNodeLabel"
	NodeTainted      Cause = "NodeUpdateNodeTaint"
	NodeFeatures     Cause = "NodeUpdateNodeDeclaredFeature"
	OwnLabels        Cause = "TargetPodUpdatePodLabel"
	OwnTolerations   Cause = "TargetPodUpdatePodToleration"
	OwnScaledDown    Cause = "TargetPodUpdatePodScaleDown"
	OwnDeviceClaims  Cause = "TargetPodUpdatePodGeneratedResourceClaim"
	OwnOther         Cause = "TargetPodUpdate"
	ClaimAdded       Cause = "PersistentVolumeClaimAdd"
	ClaimUpdated     Cause = "PersistentVolumeClaimUpdate"
	VolumeAdded      Cause = "PersistentVolumeAdd"
	VolumeUpdated    Cause = "PersistentVolumeUpdate"
	ClassAdded       Cause = "StorageClassAdd"
	ClassUpdated     Cause = "StorageClassUpdate"
	CSINodeAdded     Cause = "CSINodeAdd"
	CSINodeUpdated   Cause = "CSINodeUpdate"
	CSIDriverUpdated Cause = "CSIDriverUpdate"
	CapacityAdded    Cause = "CSIStorageCapacityAdd"
	CapacityUpdated  Cause = "CSIStorageCapacityUpdate"
	Detached         Cause = "VolumeAttachmentDelete"
	DeviceClaimAdded Cause = "ResourceClaimAdd"
	DeviceClaimed    Cause = "ResourceClaimUpdate"
	DeviceClaimGone  Cause = "ResourceClaimDelete"
	SliceAdded       Cause = "ResourceSliceAdd"
	SliceUpdated     Cause = "ResourceSliceUpdate"
	DeviceClassAdded Cause = "DeviceClassAdd"
	DeviceClassed    Cause = "DeviceClassUpdate"
)

// An Event is something that happened. Old and New are the object before and
// after; one is nil when it was added or deleted.
type Event struct {
	Cause    Cause
	Old, New any
}

// concerns are the causes by which a plugin may change its mind.
var concerns = map[string][]Cause{
	NodeName:             {NodeAdded},
	NodeUnschedulable:    {NodeAdded, NodeTainted, OwnTolerations},
	TaintToleration:      {NodeAdded, NodeTainted, OwnTolerations},
	NodeAffinity:         {NodeAdded, NodeLabeled},
	NodePorts:            {PodDeleted, NodeAdded},
	NodeResourcesFit:     {PodDeleted, NodeAdded, NodeAllocatable, PodScaledDown, OwnScaledDown, DeviceClassAdded, DeviceClassed},
	NodeDeclaredFeatures: {NodeAdded, NodeFeatures, OwnOther, OwnLabels, OwnScaledDown, OwnTolerations},
	PodTopologySpread:    {PodAdded, PodLabeled, PodDeleted, OwnTolerations, OwnLabels, NodeAdded, NodeDeleted, NodeLabeled, NodeTainted},
	InterPodAffinity:     {PodAdded, PodLabeled, PodDeleted, OwnLabels, NodeAdded, NodeLabeled},
	VolumeRestrictions:   {PodDeleted, ClaimAdded, ClaimUpdated},
	NodeVolumeLimits:     {CSINodeAdded, CSINodeUpdated, PodDeleted, ClaimAdded, ClaimUpdated, CSIDriverUpdated, Detached},
	VolumeBinding: {
		ClassAdded, ClassUpdated, ClaimAdded, ClaimUpdated, VolumeAdded, VolumeUpdated, NodeAdded, NodeLabeled, NodeTainted, CSINodeAdded, CSINodeUpdated,
		CSIDriverUpdated, CapacityAdded, CapacityUpdated,
	},
	VolumeZone:       {ClassAdded, NodeAdded, NodeLabeled, NodeTainted, ClaimAdded, ClaimUpdated, VolumeAdded, VolumeUpdated},
	DynamicResources: {NodeAdded, NodeLabeled, NodeTainted, NodeAllocatable, OwnDeviceClaims, DeviceClaimAdded, DeviceClaimed, DeviceClaimGone, SliceAdded, SliceUpdated, DeviceClassAdded, DeviceClassed},
}

// Concerned are the plugins that may change their minds by a cause.
func Concerned(cause Cause) []string {
	var plugins []string
	for plugin, causes := range concerns {
		for _, c := range causes {
			if c == cause {
				plugins = append(plugins, plugin)
			}
		}
	}
	return append(plugins, Extender) // anything may
}

// MayHelp tells whether a plugin of [Concerned] that refused a pod may accept it
// after the event. In doubt it says yes.
func (p *Placer) MayHelp(plugin string, event Event, pod *state.Pod) bool {
	if requeuer, ok := p.plugins[plugin].(Requeuer); ok {
		return requeuer.MayHelp(event, pod)
	}
	oldNode, _ := event.Old.(*corev1.Node)
	newNode, _ := event.New.(*corev1.Node)
	switch plugin {
	case NodeName:
		return newNode == nil || pod.Obj.Spec.NodeName == "" || pod.Obj.Spec.NodeName == newNode.Name
	case NodeUnschedulable:
		return newNode == nil || !newNode.Spec.Unschedulable && (oldNode == nil || oldNode.Spec.Unschedulable)
	case TaintToleration:
		if newNode == nil {
			return true
		}
		return tolerated(newNode.Spec.Taints, pod.Obj.Spec.Tolerations) && (oldNode == nil || !tolerated(oldNode.Spec.Taints, pod.Obj.Spec.Tolerations))
	case NodeAffinity:
		return newNode == nil || p.nowMatches(pod, oldNode, newNode)
	case NodePorts:
		if gone, ok := event.Old.(*state.Pod); ok {
			return state.PortsConflict(pod.Ports, gone.Ports)
		}
	case NodeResourcesFit:
		return newNode == nil || p.nowFits(pod, oldNode, newNode)
	case NodeDeclaredFeatures:
		return newNode == nil || oldNode == nil || !equality.Semantic.DeepEqual(oldNode.Status.DeclaredFeatures, newNode.Status.DeclaredFeatures)
	case PodTopologySpread:
		for _, other := range []any{event.Old, event.New} {
			if other, ok := other.(*state.Pod); ok && other.UID() != pod.UID() {
				return other.Obj.Namespace == pod.Obj.Namespace
			}
		}
	case InterPodAffinity:
		return mayHelpAffinity(event, pod)
	case VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone:
		if claim, ok := event.New.(*corev1.PersistentVolumeClaim); ok {
			return names(pod.Obj, claim)
		}
	}
	return true
}

// names tells whether a pod has a volume by a claim.
func names(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	if pod.Namespace != claim.Namespace {
		return false
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim.Name ||
			volume.Ephemeral != nil && ephemeral.VolumeClaimName(pod, volume) == claim.Name {
			return true
		}
	}
	return false
}

// nowMatches: a node was added that affinity allows, or one changed so that it
// does.
func (p *Placer) nowMatches(pod *state.Pod, oldNode, newNode *corev1.Node) bool {
	if added := p.profile.addedRequired; added != nil && !added.Match(newNode) {
		return false
	}
	required := nodeaffinity.GetRequiredNodeAffinity(pod.Obj)
	if matches, err := required.Match(newNode); err != nil || !matches {
		return err != nil
	}
	if oldNode == nil {
		return true
	}
	matched, err := required.Match(oldNode)
	return err != nil || !matched
}

// nowFits: the pod would fit on the node if it were empty, and the node is new
// or has more than before of what the pod requests.
func (p *Placer) nowFits(pod *state.Pod, oldNode, newNode *corev1.Node) bool {
	after := state.NewResources(newNode.Status.Allocatable)
	var before state.Resources
	if oldNode != nil {
		before = state.NewResources(oldNode.Status.Allocatable)
	}
	if after.Pods < 1 {
		return false
	}
	request := &pod.Requests
	more := oldNode == nil || after.Pods > before.Pods
	for _, r := range [][3]int64{
		{request.MilliCPU, before.MilliCPU, after.MilliCPU}, {request.Memory, before.Memory, after.Memory},
		{request.EphemeralStorage, before.EphemeralStorage, after.EphemeralStorage},
	} {
		if r[0] > r[2] {
			return false
		}
		more = more || r[0] > 0 && r[2] > r[1]
	}
	for name, amount := range request.Scalar {
		devices := p.profile.stands(name)
		if p.profile.ignores(name) || devices {
			more = more || devices
			continue
		}
		if amount > after.Scalar[name] {
			return false
		}
		more = more || amount > 0 && after.Scalar[name] > before.Scalar[name]
	}
	return more
}

// mayHelpAffinity: a pod came that is required, went that was in the way, or a
// node is in another domain.
func mayHelpAffinity(event Event, pod *state.Pod) bool {
	was, _ := event.Old.(*state.Pod)
	is, _ := event.New.(*state.Pod)
	// Namespaces of terms are resolved when the pod is decided; here any may do.
	matches := func(terms []state.Term, other *corev1.Pod) bool {
		for i := range terms {
			if !terms[i].NamespaceSelector.Empty() && terms[i].NamespaceSelector.String() != "" || terms[i].Matches(other, nil) {
				return true
			}
		}
		return false
	}
	switch {
	case was != nil && is != nil:
		return true
	case is != nil:
		return matches(pod.RequiredAffinity, is.Obj)
	case was != nil:
		return matches(pod.RequiredAntiAffinity, was.Obj) || matches(was.RequiredAntiAffinity, pod.Obj)
	}
	return true
}
