package config

import (
	"fmt"
	"time"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/howdah/howdah/scheduler"
	"github.com/howdah/howdah/scheduler/placement"
)

// Profiles are the profiles as the scheduler takes them. Their plugins that
// decide by other objects are not filled in.
func Profiles(c *config.KubeSchedulerConfiguration) ([]scheduler.Profile, error) {
	var profiles []scheduler.Profile
	for i := range c.Profiles {
		p, err := profile(c, &c.Profiles[i])
		if err != nil {
			return nil, fmt.Errorf("profiles[%d] (%s): %w", i, c.Profiles[i].SchedulerName, err)
		}
		profiles = append(profiles, p)
	}
	return profiles, nil
}

func profile(c *config.KubeSchedulerConfiguration, in *config.KubeSchedulerProfile) (scheduler.Profile, error) {
	out := scheduler.Profile{Name: in.SchedulerName}
	p := &out.Placement
	plugins := in.Plugins
	if plugins == nil {
		return out, fmt.Errorf("no plugins are configured")
	}
	filters, err := enabled("filter", plugins.Filter, plugins)
	if err != nil {
		return out, err
	}
	for _, plugin := range filters {
		p.Filters = append(p.Filters, plugin.Name)
	}
	scores, err := enabled("score", plugins.Score, plugins)
	if err != nil {
		return out, err
	}
	for _, plugin := range scores {
		weight := int64(plugin.Weight)
		if weight == 0 {
			weight = 1
		}
		p.Scores = append(p.Scores, placement.Weight{Name: plugin.Name, Weight: weight})
	}
	has := func(point string, set config.PluginSet, name string) (bool, error) {
		list, err := enabled(point, set, plugins)
		for _, plugin := range list {
			if plugin.Name == name {
				return true, err
			}
		}
		return false, err
	}
	if out.Preempts, err = has("postFilter", plugins.PostFilter, placement.DefaultPreemption); err != nil {
		return out, err
	}
	if out.Gates, err = has("preEnqueue", plugins.PreEnqueue, "SchedulingGates"); err != nil {
		return out, err
	}
	for point, check := range map[string]struct {
		set  config.PluginSet
		name string
	}{"queueSort": {plugins.QueueSort, "PrioritySort"}, "bind": {plugins.Bind, "DefaultBinder"}} {
		if on, err := has(point, check.set, check.name); err != nil || !on {
			return out, fmt.Errorf("%s has to be enabled at %s, nothing else can take its place: %w", check.name, point, err)
		}
	}
	for point, set := range map[string]config.PluginSet{
		"preFilter": plugins.PreFilter, "preScore": plugins.PreScore, "reserve": plugins.Reserve, "permit": plugins.Permit,
		"preBind": plugins.PreBind, "postBind": plugins.PostBind,
	} {
		if len(set.Enabled)+len(set.Disabled) > 0 {
			return out, fmt.Errorf("%s can't be configured by itself: what a plugin does there goes with its filter or score", point)
		}
	}
	percentage := in.PercentageOfNodesToScore
	if percentage == nil {
		percentage = c.PercentageOfNodesToScore
	}
	if percentage != nil {
		p.PercentageOfNodesToScore = int(*percentage)
	}
	if err := arguments(in, &out); err != nil {
		return out, err
	}
	for _, e := range c.Extenders {
		for _, resource := range e.ManagedResources {
			if resource.IgnoredByScheduler {
				p.IgnoredResources = append(p.IgnoredResources, resource.Name)
			}
		}
	}
	return out, nil
}

// arguments reads the plugins' arguments.
func arguments(in *config.KubeSchedulerProfile, out *scheduler.Profile) error {
	p := &out.Placement
	for _, entry := range in.PluginConfig {
		switch args := entry.Args.(type) {
		case *config.NodeAffinityArgs:
			p.AddedAffinity = args.AddedAffinity
		case *config.InterPodAffinityArgs:
			p.HardPodAffinityWeight = int64(args.HardPodAffinityWeight)
			p.IgnorePreferredTermsOfExistingPods = args.IgnorePreferredTermsOfExistingPods
		case *config.NodeResourcesBalancedAllocationArgs:
			p.BalancedResources = weights(args.Resources)
		case *config.NodeResourcesFitArgs:
			p.IgnoredResources, p.IgnoredGroups = args.IgnoredResources, args.IgnoredResourceGroups
			if strategy := args.ScoringStrategy; strategy != nil {
				p.Fit = placement.FitStrategy{Type: string(strategy.Type), Resources: weights(strategy.Resources)}
				if ratio := strategy.RequestedToCapacityRatio; ratio != nil {
					for _, point := range ratio.Shape {
						p.Fit.Shape = append(p.Fit.Shape, placement.ShapePoint{Utilization: int64(point.Utilization), Score: int64(point.Score)})
					}
				}
			}
		case *config.PodTopologySpreadArgs:
			p.DefaultConstraints = args.DefaultConstraints
			if p.SystemDefaulted = args.DefaultingType == config.SystemDefaulting; p.SystemDefaulted {
				p.DefaultConstraints = placement.SystemConstraints()
			}
		case *config.DefaultPreemptionArgs:
			p.MinCandidateNodesPercentage, p.MinCandidateNodesAbsolute = int(args.MinCandidateNodesPercentage), int(args.MinCandidateNodesAbsolute)
		case *config.VolumeBindingArgs:
			out.Volumes.BindTimeout = time.Duration(args.BindTimeoutSeconds) * time.Second
			for _, point := range args.Shape {
				out.Volumes.Shape = append(out.Volumes.Shape, placement.ShapePoint{Utilization: int64(point.Utilization), Score: int64(point.Score)})
			}
		case *config.DynamicResourcesArgs:
			if args.FilterTimeout != nil {
				out.Devices.FilterTimeout = args.FilterTimeout.Duration
			}
			if args.BindingTimeout != nil {
				out.Devices.BindingTimeout = args.BindingTimeout.Duration
			}
		default:
			return fmt.Errorf("arguments for plugin %q can't be used: they are a %T", entry.Name, entry.Args)
		}
	}
	return nil
}

func weights(resources []config.ResourceSpec) []placement.Weight {
	var out []placement.Weight
	for _, resource := range resources {
		out = append(out, placement.Weight{Name: resource.Name, Weight: resource.Weight})
	}
	return out
}
