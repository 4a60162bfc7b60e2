package placement

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/howdah/howdah/scheduler/state"
)

// keptShapes bounds how many shapes and kins are remembered.
const keptShapes = 256

// Options are what a [Placer] works with.
type Options struct {
	Config  Config
	Cluster *state.Cluster
	Plugins []Plugin // for the names in Config.Filters that this package doesn't decide
	Version *version.Version

	Workloads   Workloads   // nil: pods belong to nothing
	Nominations Nominations // nil: there are none
	Devices     Devices     // nil: there are none
	Random      *rand.Rand  // breaks ties
	// Ended is told that a part of a decision is over, by kube-scheduler's names
	// of extension points and statuses; nil: nobody wants to know.
	Ended func(point, status string)
}

// A Placer places pods of one profile in a cluster. It is not for concurrent
// use, and the cluster must not change during a call.
type Placer struct {
	profile     *profile
	cluster     *state.Cluster
	plugins     map[string]Plugin
	workloads   Workloads
	nominations Nominations
	random      *rand.Rand
	ended       func(point, status string)

	shapes map[string]*shapeRows
	kins   map[string]*kin
	tick   uint64
	start  int // where to look first, when not all nodes are looked at

	// Room for a decision's results, which nobody keeps.
	feasibles []int32
	scores    []int64
}

// New checks the configuration.
func New(o Options) (*Placer, error) {
	p := &profile{
		Config: o.Config, version: o.Version, devices: o.Devices, weights: map[string]int64{}, filters: map[string]bool{},
		ignoredNames: map[string]bool{}, ignoredGroups: map[string]bool{},
	}
	for _, name := range o.Config.Filters {
		p.filters[name] = true
	}
	for _, score := range o.Config.Scores {
		p.weights[score.Name] = score.Weight
	}
	for _, name := range o.Config.IgnoredResources {
		p.ignoredNames[name] = true
	}
	for _, name := range o.Config.IgnoredGroups {
		p.ignoredGroups[name] = true
	}
	if added := o.Config.AddedAffinity; added != nil {
		var err error
		if hard := added.RequiredDuringSchedulingIgnoredDuringExecution; hard != nil {
			if p.addedRequired, err = nodeaffinity.NewNodeSelector(hard); err != nil {
				return nil, fmt.Errorf("parsing addedAffinity.requiredDuringSchedulingIgnoredDuringExecution: %w", err)
			}
		}
		if soft := added.PreferredDuringSchedulingIgnoredDuringExecution; len(soft) > 0 {
			if p.addedPreferred, err = nodeaffinity.NewPreferredSchedulingTerms(soft); err != nil {
				return nil, fmt.Errorf("parsing addedAffinity.preferredDuringSchedulingIgnoredDuringExecution: %w", err)
			}
		}
	}
	placer := &Placer{
		profile: p, cluster: o.Cluster, plugins: map[string]Plugin{}, workloads: o.Workloads, nominations: o.Nominations,
		random: o.Random, ended: o.Ended, shapes: map[string]*shapeRows{}, kins: map[string]*kin{},
	}
	if placer.ended == nil {
		placer.ended = func(string, string) {}
	}
	for _, plugin := range o.Plugins {
		placer.plugins[plugin.Name()] = plugin
	}
	return placer, nil
}

// DevicesChanged is to be called when Options.Devices stand for other resources
// than before.
func (p *Placer) DevicesChanged() { clear(p.shapes) }

func (p *profile) ignores(name corev1.ResourceName) bool {
	if !state.IsExtended(name) {
		return false
	}
	group, _, _ := strings.Cut(string(name), "/")
	return p.ignoredNames[string(name)] || p.ignoredGroups[group]
}

// A decision is about one pod.
type decision struct {
	*Placer
	pod      *state.Pod
	shape    *shapeRows
	kin      *kin // nil: no business with other pods
	least    []int64
	prepared []ready
	only     map[string]bool // names of nodes that can be chosen; nil: any
	onlyBy   map[string]bool // plugins that said so
}

// ready is a plugin that has something to say about the pod.
type ready struct {
	name  string
	place int
	Prepared
}

// prepare does what comes before any node is looked at. A status refuses the
// pod on all nodes.
func (p *Placer) prepare(pod *state.Pod) (*decision, *Status) {
	p.tick++
	d := &decision{Placer: p, pod: pod, onlyBy: map[string]bool{}}
	if pod.ParseError != nil {
		return nil, &Status{Plugin: InterPodAffinity, Unresolvable: true, Reasons: []string{fmt.Sprintf("parsing pod: %v", pod.ParseError)}}
	}
	d.shape = p.shapeOf(pod)
	rules := d.shape.rules
	if rules.err != nil {
		return nil, &Status{Err: rules.err}
	}
	for place, name := range p.profile.Filters {
		var only map[string]bool
		switch plugin := p.plugins[name]; {
		case name == NodeName && pod.Obj.Spec.NodeName != "":
			only = map[string]bool{pod.Obj.Spec.NodeName: true}
		case name == NodeAffinity && rules.impossible:
			return nil, rules.refuse(name, true, "pod affinity terms conflict")
		case name == NodeAffinity:
			only = rules.only
		case plugin != nil:
			prepared, status := plugin.Prepare(pod, p.cluster)
			if status != nil {
				status.Plugin = name
				if status.Err != nil {
					status.Err = fmt.Errorf("running PreFilter plugin %q: %w", name, status.Err)
				}
				return nil, status
			}
			if prepared != nil {
				d.prepared = append(d.prepared, ready{name, place, prepared})
				only = prepared.Only()
			}
		}
		if status := d.restrict(name, only); status != nil {
			return nil, status
		}
	}
	d.shape.refresh(p.cluster)
	if d.kin = p.kinOf(pod, rules); d.kin != nil {
		if d.kin.err != nil {
			return nil, &Status{Plugin: PodTopologySpread, Err: d.kin.err}
		}
		d.kin.refresh(p.cluster)
		d.least = d.kin.spreadLeast()
	}
	return d, nil
}

// restrict leaves the nodes that this plugin leaves too.
func (d *decision) restrict(plugin string, only map[string]bool) *Status {
	if only == nil {
		return nil
	}
	d.onlyBy[plugin] = true
	if d.only == nil {
		d.only = only
	} else {
		both := map[string]bool{}
		for name := range only {
			if d.only[name] {
				both[name] = true
			}
		}
		d.only = both
	}
	if len(d.only) > 0 {
		return nil
	}
	text := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v simultaneously", sortedKeys(d.onlyBy))
	if len(d.onlyBy) == 1 {
		text = "node(s) didn't satisfy plugin " + plugin
	}
	return &Status{Unresolvable: true, Reasons: []string{text}}
}

func (p *Placer) shapeOf(pod *state.Pod) *shapeRows {
	shape := pod.Shape()
	s := p.shapes[shape]
	if s == nil {
		if len(p.shapes) >= keptShapes {
			forget(p.shapes, p.tick, func(s *shapeRows) uint64 { return s.used })
		}
		s = &shapeRows{rules: newRules(p.profile, pod)}
		p.shapes[shape] = s
	}
	s.used = p.tick
	return s
}

func (p *Placer) kinOf(pod *state.Pod, r *rules) *kin {
	var selector labels.Selector
	if p.workloads != nil && len(p.profile.DefaultConstraints) > 0 && len(pod.Obj.Spec.TopologySpreadConstraints) == 0 {
		selector = p.workloads.Selector(pod)
	}
	k := p.kins[pod.Kin]
	stale := k == nil || k.namespaces != p.cluster.NamespaceEpoch() ||
		k.pairs == nil && p.cluster.HasAffinity() || selector != nil && k.selector != selector.String() && !(k.selector == "" && selector.Empty())
	if stale {
		if len(p.kins) >= keptShapes {
			forget(p.kins, p.tick, func(k *kin) uint64 { return k.used })
		}
		if k = newKin(r, pod, p.cluster, selector); k == nil {
			delete(p.kins, pod.Kin)
			return nil
		}
		p.kins[pod.Kin] = k
	}
	k.used = p.tick
	return k
}

// forget drops the older half.
func forget[T any](kept map[string]T, now uint64, used func(T) uint64) {
	oldest := uint64(math.MaxUint64)
	for _, v := range kept {
		oldest = min(oldest, used(v))
	}
	for key, v := range kept {
		if used(v) <= oldest+(now-oldest)/2 {
			delete(kept, key)
		}
	}
}
