package config

import (
	"fmt"
	"slices"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/howdah/howdah/scheduler/placement"
)

// points are the extension points at which a plugin does something, by the
// names of the configuration's fields.
var points = map[string][]string{
	"PrioritySort":                 {"queueSort"},
	"SchedulingGates":              {"preEnqueue"},
	placement.NodeName:             {"filter"},
	placement.NodeUnschedulable:    {"filter"},
	placement.TaintToleration:      {"filter", "score"},
	placement.NodeAffinity:         {"filter", "score"},
	placement.NodePorts:            {"filter"},
	placement.NodeResourcesFit:     {"filter", "score"},
	placement.VolumeRestrictions:   {"filter"},
	placement.NodeVolumeLimits:     {"filter"},
	placement.VolumeBinding:        {"filter", "score"},
	placement.VolumeZone:           {"filter"},
	placement.PodTopologySpread:    {"filter", "score"},
	placement.InterPodAffinity:     {"filter", "score"},
	placement.DynamicResources:     {"filter", "score"},
	placement.DefaultPreemption:    {"postFilter"},
	placement.BalancedAllocation:   {"score"},
	placement.ImageLocality:        {"score"},
	placement.NodeDeclaredFeatures: {"filter"},
	"DefaultBinder":                {"bind"},
}

// enabled are the plugins of one extension point in their order: those that are
// configured there and at multiPoint, those of multiPoint, and those that are
// configured only there.
func enabled(point string, set config.PluginSet, plugins *config.Plugins) ([]config.Plugin, error) {
	var override, multi, rest []config.Plugin
	off := func(name string) bool {
		return slices.ContainsFunc(set.Disabled, func(p config.Plugin) bool { return p.Name == name || p.Name == "*" })
	}
	all := map[string]bool{}
	for _, plugin := range plugins.MultiPoint.Enabled {
		at, known := points[plugin.Name]
		if !known {
			return nil, unknown(plugin.Name)
		}
		all[plugin.Name] = true
		explicit := slices.ContainsFunc(set.Enabled, func(p config.Plugin) bool { return p.Name == plugin.Name })
		if slices.Contains(at, point) && !off(plugin.Name) && !explicit {
			multi = append(multi, plugin)
		}
	}
	for _, plugin := range set.Enabled {
		at, known := points[plugin.Name]
		if !known {
			return nil, unknown(plugin.Name)
		}
		if !slices.Contains(at, point) {
			return nil, fmt.Errorf("plugin %q does nothing at the extension point %s", plugin.Name, point)
		}
		if all[plugin.Name] && !off(plugin.Name) {
			override = append(override, plugin)
		} else {
			rest = append(rest, plugin)
		}
	}
	return slices.Concat(override, multi, rest), nil
}

func unknown(name string) error {
	return fmt.Errorf("plugin %q is not one of Howdah's scheduler; out-of-tree plugins can't be loaded, an extender over HTTP can be used instead", name)
}
