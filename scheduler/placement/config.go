package placement

import (
	corev1 "k8s.io/api/core/v1"
)

// Names of the plugins, which are kube-scheduler's.
const (
	NodeName             = "NodeName"
	NodeUnschedulable    = "NodeUnschedulable"
	TaintToleration      = "TaintToleration"
	NodeAffinity         = "NodeAffinity"
	NodePorts            = "NodePorts"
	NodeResourcesFit     = "NodeResourcesFit"
	BalancedAllocation   = "NodeResourcesBalancedAllocation"
	ImageLocality        = "ImageLocality"
	PodTopologySpread    = "PodTopologySpread"
	InterPodAffinity     = "InterPodAffinity"
	NodeDeclaredFeatures = "NodeDeclaredFeatures"
	VolumeRestrictions   = "VolumeRestrictions"
	NodeVolumeLimits     = "NodeVolumeLimits"
	VolumeBinding        = "VolumeBinding"
	VolumeZone           = "VolumeZone"
	DynamicResources     = "DynamicResources"
	DefaultPreemption    = "DefaultPreemption"
	Extender             = "Extender" // all of them together
)

// Config is what a profile says of placement.
type Config struct {
	Filters []string // in the order in which they are asked; also that of the steps before them
	Scores  []Weight

	AddedAffinity *corev1.NodeAffinity // NodeAffinityArgs

	Fit               FitStrategy // NodeResourcesFitArgs
	IgnoredResources  []string
	IgnoredGroups     []string
	BalancedResources []Weight // NodeResourcesBalancedAllocationArgs

	HardPodAffinityWeight              int64 // InterPodAffinityArgs
	IgnorePreferredTermsOfExistingPods bool

	DefaultConstraints []corev1.TopologySpreadConstraint // PodTopologySpreadArgs
	SystemDefaulted    bool                              // the constraints are the system's

	// PercentageOfNodesToScore: after so many feasible nodes no more are looked
	// for; 0: all are, since that costs little here.
	PercentageOfNodesToScore int

	MinCandidateNodesPercentage, MinCandidateNodesAbsolute int // DefaultPreemptionArgs
}

// A Weight weighs a plugin or a resource.
type Weight struct {
	Name   string
	Weight int64
}

// A FitStrategy says how NodeResourcesFit scores.
type FitStrategy struct {
	Type      string // LeastAllocated, MostAllocated or RequestedToCapacityRatio
	Resources []Weight
	Shape     []ShapePoint // of RequestedToCapacityRatio
}

// A ShapePoint says what score (0 to 10) a utilization (0 to 100) gives.
type ShapePoint struct{ Utilization, Score int64 }

// SystemConstraints are the spreading that pods of a Service or workload get
// when nobody says otherwise
// (https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints).
func SystemConstraints() []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{
		{TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 3},
		{TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 5},
	}
}

// DefaultConfig is kube-scheduler's default profile.
func DefaultConfig() Config {
	resources := []Weight{{"cpu", 1}, {"memory", 1}}
	return Config{
		Filters: []string{
			NodeName, NodeUnschedulable, TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit, VolumeRestrictions,
			NodeVolumeLimits, VolumeBinding, VolumeZone, PodTopologySpread, InterPodAffinity, DynamicResources, NodeDeclaredFeatures,
		},
		Scores: []Weight{
			{TaintToleration, 3}, {NodeAffinity, 2}, {NodeResourcesFit, 1}, {VolumeBinding, 1}, {PodTopologySpread, 2},
			{InterPodAffinity, 2}, {DynamicResources, 2}, {BalancedAllocation, 1}, {ImageLocality, 1},
		},
		Fit:                         FitStrategy{Type: "LeastAllocated", Resources: resources},
		BalancedResources:           resources,
		HardPodAffinityWeight:       1,
		DefaultConstraints:          SystemConstraints(),
		SystemDefaulted:             true,
		MinCandidateNodesPercentage: 10,
		MinCandidateNodesAbsolute:   100,
	}
}
