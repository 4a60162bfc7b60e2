package daemonset

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// A fit says for which nodes a DaemonSet's pods are.
type fit struct {
	node        string // the only one, if it is not empty
	tolerations []corev1.Toleration
	affinity    nodeaffinity.RequiredNodeAffinity
}

func fitOf(ds *appsv1.DaemonSet) fit {
	spec := &ds.Spec.Template.Spec
	return fit{node: spec.NodeName, tolerations: tolerationsOf(spec), affinity: nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: *spec})}
}

// on is whether a pod should be on the node, and whether one that is there may
// stay: a taint NoSchedule only keeps new ones away.
func (f fit) on(node *corev1.Node) (run, stay bool) {
	if f.node != "" && f.node != node.Name {
		return false, false
	}
	if matches, err := f.affinity.Match(node); err != nil || !matches {
		return false, false
	}
	untolerated := func(effects ...corev1.TaintEffect) bool {
		_, found := schedulinghelpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, f.tolerations, func(t *corev1.Taint) bool { return slices.Contains(effects, t.Effect) }, false)
		return found
	}
	if untolerated(corev1.TaintEffectNoExecute) {
		return false, false
	}
	return !untolerated(corev1.TaintEffectNoSchedule), true
}

// tolerationsOf are the template's, and those of what must run on nodes in
// trouble too
// (https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations).
func tolerationsOf(spec *corev1.PodSpec) []corev1.Toleration {
	exists := func(key string, effect corev1.TaintEffect) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
	}
	added := []corev1.Toleration{
		exists(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute),
		exists(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute),
		exists(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule),
		exists(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule),
		exists(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule),
		exists(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule),
	}
	if spec.HostNetwork {
		added = append(added, exists(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule))
	}
	all := slices.Clone(spec.Tolerations)
	for _, one := range added {
		same := func(t corev1.Toleration) bool { return one.MatchToleration(&t) }
		if i := slices.IndexFunc(all, same); i >= 0 {
			if !equality.Semantic.DeepEqual(all[i], one) {
				all[i] = one
			}
			continue
		}
		all = append(all, one)
	}
	return all
}

// templateFor is the template of a node's pod, of a revision. The scheduler binds
// the pod: its affinity leaves only this node.
func templateFor(ds *appsv1.DaemonSet, hash, node string) *corev1.PodTemplateSpec {
	template := ds.Spec.Template.DeepCopy()
	template.Spec.Tolerations = tolerationsOf(&template.Spec)
	template.Labels = maps.Clone(template.Labels)
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	if generation, ok := ds.Annotations[appsv1.DeprecatedTemplateGeneration]; ok {
		template.Labels[templateGenerationLabel] = generation
	}
	template.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	if template.Spec.Affinity == nil {
		template.Spec.Affinity = &corev1.Affinity{}
	}
	if template.Spec.Affinity.NodeAffinity == nil {
		template.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}
	return template
}

// targetOf is the node that a pod is on or for, or "".
func targetOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == metav1.ObjectNameField && field.Operator == corev1.NodeSelectorOpIn && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

// templateGenerationLabel is from before revisions.
const templateGenerationLabel = "pod-template-generation"

// updated is whether a pod is of the present template.
func updated(ds *appsv1.DaemonSet, p *corev1.Pod, hash string) bool {
	generation, ok := ds.Annotations[appsv1.DeprecatedTemplateGeneration]
	return p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == hash || ok && p.Labels[templateGenerationLabel] == generation
}
