package state

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A Term is a parsed term of inter-pod affinity or anti-affinity.
type Term struct {
	Namespaces        []string
	NamespaceSelector labels.Selector
	Selector          labels.Selector
	TopologyKey       string
	Weight            int64 // of a preferred term
}

// Matches tells whether the term speaks of a pod; namespace are the labels of
// the pod's namespace.
func (t *Term) Matches(pod *corev1.Pod, namespace labels.Set) bool {
	return (slices.Contains(t.Namespaces, pod.Namespace) || t.NamespaceSelector.Matches(namespace)) &&
		t.Selector.Matches(labels.Set(pod.Labels))
}

// affinityTerms are a pod's terms by kind.
type affinityTerms struct {
	RequiredAffinity, RequiredAntiAffinity   []Term
	PreferredAffinity, PreferredAntiAffinity []Term
}

func newAffinityTerms(pod *corev1.Pod) (t affinityTerms, err error) {
	affinity := pod.Spec.Affinity
	if affinity == nil {
		return t, nil
	}
	if a := affinity.PodAffinity; a != nil {
		if t.RequiredAffinity, err = requiredTerms(pod, a.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return t, err
		}
		if t.PreferredAffinity, err = preferredTerms(pod, a.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
			return t, err
		}
	}
	if a := affinity.PodAntiAffinity; a != nil {
		if t.RequiredAntiAffinity, err = requiredTerms(pod, a.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return t, err
		}
		if t.PreferredAntiAffinity, err = preferredTerms(pod, a.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
			return t, err
		}
	}
	return t, nil
}

func requiredTerms(pod *corev1.Pod, terms []corev1.PodAffinityTerm) ([]Term, error) {
	var parsed []Term
	for i := range terms {
		term, err := newTerm(pod, &terms[i])
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, term)
	}
	return parsed, nil
}

func preferredTerms(pod *corev1.Pod, terms []corev1.WeightedPodAffinityTerm) ([]Term, error) {
	var parsed []Term
	for i := range terms {
		term, err := newTerm(pod, &terms[i].PodAffinityTerm)
		if err != nil {
			return nil, err
		}
		term.Weight = int64(terms[i].Weight)
		parsed = append(parsed, term)
	}
	return parsed, nil
}

// newTerm reads a term. Without namespaces and selector it is about the pod's
// own namespace.
func newTerm(pod *corev1.Pod, term *corev1.PodAffinityTerm) (Term, error) {
	selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
	if err != nil {
		return Term{}, err
	}
	namespaceSelector, err := metav1.LabelSelectorAsSelector(term.NamespaceSelector)
	if err != nil {
		return Term{}, err
	}
	namespaces := term.Namespaces
	if len(namespaces) == 0 && term.NamespaceSelector == nil {
		namespaces = []string{pod.Namespace}
	}
	return Term{Namespaces: namespaces, NamespaceSelector: namespaceSelector, Selector: selector, TopologyKey: term.TopologyKey}, nil
}
