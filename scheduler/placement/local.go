package placement

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	declared "k8s.io/component-helpers/nodedeclaredfeatures"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/howdah/howdah/scheduler/state"
)

// rules are what a pod's shape asks of any single node.
type rules struct {
	config *profile
	pod    *state.Pod // one of the shape

	requires    bool // by node selector or affinity
	required    nodeaffinity.RequiredNodeAffinity
	preferred   *nodeaffinity.PreferredSchedulingTerms
	only        map[string]bool // names of the nodes that affinity leaves; nil: any
	impossible  bool            // affinity names nodes that exclude each other
	tolerations []corev1.Toleration
	soft        []corev1.Toleration // those that can tolerate PreferNoSchedule
	cordoned    bool                // tolerates unschedulable nodes
	features    declared.FeatureSet
	featureful  bool

	fitRequests, balancedRequests []int64 // by the resources that scoring looks at
	bestEffort                    bool
	counted                       bool // devices are counted for scores; they come and go without the node's changing
	images                        []string
	imageCount                    int64

	known map[string]*Status // statuses by text, so that rows share them
	err   error              // the pod can't be understood
}

var noLog = klog.Logger{}

func newRules(config *profile, pod *state.Pod) *rules {
	spec := &pod.Obj.Spec
	r := &rules{config: config, pod: pod, known: map[string]*Status{}, tolerations: spec.Tolerations}
	r.required = nodeaffinity.GetRequiredNodeAffinity(pod.Obj)
	r.requires = len(spec.NodeSelector) > 0
	if affinity := spec.Affinity; affinity != nil && affinity.NodeAffinity != nil {
		if hard := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; hard != nil {
			r.requires = true
			r.only = namedNodes(hard.NodeSelectorTerms)
			r.impossible = r.only != nil && len(r.only) == 0
		}
		if soft := affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution; soft != nil {
			r.preferred, r.err = nodeaffinity.NewPreferredSchedulingTerms(soft)
		}
	}
	for _, toleration := range spec.Tolerations {
		if toleration.Effect == "" || toleration.Effect == corev1.TaintEffectPreferNoSchedule {
			r.soft = append(r.soft, toleration)
		}
	}
	r.cordoned = corev1helpers.TolerationsTolerateTaint(noLog, spec.Tolerations,
		&corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}, false)
	features, err := declared.DefaultFramework.InferForPodScheduling(&declared.PodInfo{Spec: spec}, config.version)
	if err != nil {
		r.err = err
	} else {
		r.features, r.featureful = features, !features.IsEmpty()
	}
	for _, resource := range config.Fit.Resources {
		name := corev1.ResourceName(resource.Name)
		request := pod.ScoredRequest(name, false)
		r.counted = r.counted || config.counts(name, request)
		r.fitRequests = append(r.fitRequests, request)
	}
	r.bestEffort = true
	for _, resource := range config.BalancedResources {
		name := corev1.ResourceName(resource.Name)
		request := pod.ScoredRequest(name, true)
		r.counted = r.counted || config.counts(name, request)
		r.bestEffort = r.bestEffort && request == 0
		r.balancedRequests = append(r.balancedRequests, request)
	}
	r.addImages(spec)
	return r
}

// namedNodes are the nodes that the terms name by metadata.name; nil when some
// term names none. A term with several such requirements leaves those in all.
func namedNodes(terms []corev1.NodeSelectorTerm) map[string]bool {
	if len(terms) == 0 {
		return nil
	}
	all := map[string]bool{}
	for _, term := range terms {
		var names map[string]bool
		for _, field := range term.MatchFields {
			if field.Key != metav1.ObjectNameField || field.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			both := map[string]bool{}
			for _, name := range field.Values {
				if names == nil || names[name] {
					both[name] = true
				}
			}
			names = both
		}
		if names == nil {
			return nil
		}
		for name := range names {
			all[name] = true
		}
	}
	return all
}

func (r *rules) addImages(spec *corev1.PodSpec) {
	add := func(name string) {
		r.images = append(r.images, normalizedImage(name))
		r.imageCount++
	}
	for i := range spec.InitContainers {
		add(spec.InitContainers[i].Image)
	}
	for i := range spec.Containers {
		add(spec.Containers[i].Image)
	}
	for i := range spec.Volumes {
		if image := spec.Volumes[i].Image; image != nil {
			add(image.Reference)
		}
	}
}

// normalizedImage has a tag, like the names that nodes report.
func normalizedImage(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return name + ":latest"
	}
	return name
}

// filter asks the plugins that look at a single node, in order, and returns
// the first that refuses, with its place in the order.
func (r *rules) filter(node *state.Node) (*Status, int) {
	for place, plugin := range r.config.Filters {
		if status := r.ask(plugin, node); status != nil {
			return status, place
		}
	}
	return nil, len(r.config.Filters)
}

func (r *rules) ask(plugin string, node *state.Node) *Status {
	switch plugin {
	case NodeName:
		if name := r.pod.Obj.Spec.NodeName; name != "" && name != node.Name() {
			return r.refuse(plugin, true, "node(s) didn't match the requested node name")
		}
	case NodeUnschedulable:
		if node.Obj.Spec.Unschedulable && !r.cordoned {
			return r.refuse(plugin, true, "node(s) were unschedulable")
		}
	case TaintToleration:
		if len(node.Obj.Spec.Taints) > 0 && !tolerated(node.Obj.Spec.Taints, r.tolerations) {
			return r.refuse(plugin, true, "node(s) had untolerated taint(s)")
		}
	case NodeAffinity:
		if added := r.config.addedRequired; added != nil && !added.Match(node.Obj) {
			return r.refuse(plugin, true, "node(s) didn't match scheduler-enforced node affinity")
		}
		if r.requires {
			if matches, _ := r.required.Match(node.Obj); !matches {
				return r.refuse(plugin, true, "node(s) didn't match Pod's node affinity/selector")
			}
		}
	case NodePorts:
		if len(r.pod.Ports) > 0 && state.PortsConflict(r.pod.Ports, node.Ports) {
			return r.refuse(plugin, false, "node(s) didn't have free ports for the requested pod ports")
		}
	case NodeResourcesFit:
		return r.fits(node)
	case NodeDeclaredFeatures:
		if r.featureful {
			if ok, err := r.features.IsSubset(node.Features); err != nil {
				return &Status{Plugin: plugin, Err: err}
			} else if !ok {
				return r.refuse(plugin, true, "node(s) didn't match Pod's required features")
			}
		}
	}
	return nil
}

// tolerated tells whether nothing that keeps pods away is untolerated.
func tolerated(taints []corev1.Taint, tolerations []corev1.Toleration) bool {
	for i := range taints {
		if effect := taints[i].Effect; effect != corev1.TaintEffectNoSchedule && effect != corev1.TaintEffectNoExecute {
			continue
		}
		if !corev1helpers.TolerationsTolerateTaint(noLog, tolerations, &taints[i], false) {
			return false
		}
	}
	return true
}

// fits compares what the pod requests with what is left. All that lacks is
// named, in the order cpu, memory, ephemeral storage, others by name.
func (r *rules) fits(node *state.Node) *Status {
	var reasons []string
	unresolvable := false
	if int64(len(node.Pods))+1 > node.Allocatable.Pods {
		reasons = append(reasons, "Too many pods")
	}
	request := &r.pod.Requests
	lacks := func(name string, wanted, allocatable, requested int64) {
		if wanted > 0 && (requested < 0 || wanted > allocatable-requested) {
			reasons = append(reasons, "Insufficient "+name)
			unresolvable = unresolvable || wanted > allocatable
		}
	}
	lacks("cpu", request.MilliCPU, node.Allocatable.MilliCPU, node.Requested.MilliCPU)
	lacks("memory", request.Memory, node.Allocatable.Memory, node.Requested.Memory)
	lacks("ephemeral-storage", request.EphemeralStorage, node.Allocatable.EphemeralStorage, node.Requested.EphemeralStorage)
	if len(request.Scalar) > 0 {
		names := make([]string, 0, len(request.Scalar))
		for name := range request.Scalar {
			names = append(names, string(name))
		}
		slices.Sort(names)
		for _, text := range names {
			name := corev1.ResourceName(text)
			if r.config.ignores(name) || r.config.delegated(name, node) {
				continue
			}
			lacks(text, request.Scalar[name], node.Allocatable.Scalar[name], node.Requested.Scalar[name])
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return r.refuse(NodeResourcesFit, unresolvable, reasons...)
}

// refuse returns the one status that says this.
func (r *rules) refuse(plugin string, unresolvable bool, reasons ...string) *Status {
	key := plugin + strings.Join(reasons, "\x00")
	if unresolvable {
		key += "!"
	}
	status := r.known[key]
	if status == nil {
		status = &Status{Plugin: plugin, Unresolvable: unresolvable, Reasons: reasons}
		r.known[key] = status
	}
	return status
}
