package difftest

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"

	"github.com/howdah/howdah/scheduler/config"
)

// configuration is the default one for half of the worlds, and for the others one
// with weights and arguments of plugins by chance.
func configuration(t *testing.T, seed uint64) *schedulerconfig.KubeSchedulerConfiguration {
	t.Helper()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 3))}
	if g.chance(50) {
		return c
	}
	profile := &c.Profiles[0]
	if g.chance(40) {
		enabled := profile.Plugins.MultiPoint.Enabled
		for i := range enabled {
			if enabled[i].Weight > 0 {
				enabled[i].Weight = int32(1 + g.IntN(10))
			}
		}
	}
	for _, entry := range profile.PluginConfig {
		if g.chance(40) {
			continue
		}
		switch args := entry.Args.(type) {
		case *schedulerconfig.NodeResourcesFitArgs:
			args.ScoringStrategy = g.strategy()
			if g.chance(20) {
				args.IgnoredResources = []string{"example.com/gpu"}
			}
			if g.chance(10) {
				args.IgnoredResourceGroups = []string{"example.com"}
			}
		case *schedulerconfig.NodeResourcesBalancedAllocationArgs:
			args.Resources = g.resources()
			for i := range args.Resources {
				args.Resources[i].Weight = 1
			}
		case *schedulerconfig.InterPodAffinityArgs:
			args.HardPodAffinityWeight = int32(g.IntN(101))
			args.IgnorePreferredTermsOfExistingPods = g.chance(50)
		case *schedulerconfig.PodTopologySpreadArgs:
			args.DefaultingType, args.DefaultConstraints = schedulerconfig.ListDefaulting, nil
			for _, key := range []string{corev1.LabelHostname, corev1.LabelTopologyZone, "rack"}[:g.IntN(4)] {
				args.DefaultConstraints = append(args.DefaultConstraints, corev1.TopologySpreadConstraint{
					MaxSkew: int32(1 + g.IntN(3)), TopologyKey: key, WhenUnsatisfiable: pick(g, corev1.DoNotSchedule, corev1.ScheduleAnyway),
				})
			}
		case *schedulerconfig.NodeAffinityArgs:
			args.AddedAffinity = &corev1.NodeAffinity{}
			if g.chance(30) {
				args.AddedAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}},
				}}
			}
			if g.chance(70) {
				args.AddedAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{
					{Weight: int32(1 + g.IntN(100)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}}},
				}
			}
		}
	}
	if err := validation.ValidateKubeSchedulerConfiguration(c); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return c
}

func (g *generator) strategy() *schedulerconfig.ScoringStrategy {
	s := &schedulerconfig.ScoringStrategy{
		Type:      pick(g, schedulerconfig.LeastAllocated, schedulerconfig.MostAllocated, schedulerconfig.RequestedToCapacityRatio),
		Resources: g.resources(),
	}
	if g.chance(50) {
		// Not for NodeResourcesBalancedAllocation, in which kube-scheduler v1.37.2
		// crashes when devices stand for a resource.
		s.Resources = append(s.Resources, schedulerconfig.ResourceSpec{Name: "example.com/gpu", Weight: int64(1 + g.IntN(5))})
	}
	if s.Type == schedulerconfig.RequestedToCapacityRatio {
		s.RequestedToCapacityRatio = &schedulerconfig.RequestedToCapacityRatioParam{}
		for utilization := int32(g.IntN(30)); utilization <= 100; utilization += int32(1 + g.IntN(60)) {
			s.RequestedToCapacityRatio.Shape = append(s.RequestedToCapacityRatio.Shape, schedulerconfig.UtilizationShapePoint{Utilization: utilization, Score: int32(g.IntN(11))})
		}
	}
	return s
}

func (g *generator) resources() []schedulerconfig.ResourceSpec {
	var out []schedulerconfig.ResourceSpec
	for _, name := range []string{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi"} {
		if g.chance(70) {
			out = append(out, schedulerconfig.ResourceSpec{Name: name, Weight: int64(1 + g.IntN(5))})
		}
	}
	if len(out) == 0 {
		return []schedulerconfig.ResourceSpec{{Name: "cpu", Weight: 1}}
	}
	return out
}
