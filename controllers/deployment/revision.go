package deployment

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/howdah/howdah/controllers/pod"
)

// Annotations, as kubectl and upstream know them.
const (
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
	desiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas"
	maxReplicasAnnotation     = "deployment.kubernetes.io/max-replicas"

	// revisionHistoryLength bounds the history annotation, in characters.
	revisionHistoryLength = 2000
)

// ownAnnotations aren't copied between a Deployment and its ReplicaSets.
var ownAnnotations = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, revisionHistoryAnnotation,
	desiredReplicasAnnotation, maxReplicasAnnotation, appsv1.DeprecatedRollbackTo,
}

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// split tells the ReplicaSet of the Deployment's template, or nil, from the
// others. Of several with the template the oldest is it.
func split(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (fresh *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	for _, set := range byAge(sets) {
		if fresh == nil && sameTemplate(&set.Spec.Template, &d.Spec.Template) {
			fresh = set
		} else {
			old = append(old, set)
		}
	}
	return fresh, old
}

// sameTemplate compares templates but for the label that names the ReplicaSet.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return equality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(template *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	plain := *template
	plain.Labels = maps.Clone(template.Labels)
	delete(plain.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return &plain
}

// newReplicaSet is the ReplicaSet for the Deployment's template, of a revision.
func newReplicaSet(d *appsv1.Deployment, old []*appsv1.ReplicaSet, revision int64) *appsv1.ReplicaSet {
	hash := pod.Hash(&d.Spec.Template, d.Status.CollisionCount)
	template := *d.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	name := d.Name[:min(len(d.Name), validation.DNS1123SubdomainMaxLength-len(hash)-1)] + "-" + hash
	size := grow(d, old, 0)
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: d.Namespace, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, deploymentKind)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &size, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: template},
	}
	annotate(d, set, revision)
	annotateReplicas(d, set)
	return set
}

// annotate gives a ReplicaSet the Deployment's annotations and, unless it has a
// later one, the revision; its former revisions are kept. It returns whether
// anything changed.
func annotate(d *appsv1.Deployment, set *appsv1.ReplicaSet, revision int64) (changed bool) {
	put := func(key, value string) {
		if has, ok := set.Annotations[key]; !ok || has != value {
			set.Annotations = with(set.Annotations, key, value)
			changed = true
		}
	}
	for key, value := range d.Annotations {
		if !slices.Contains(ownAnnotations, key) {
			put(key, value)
		}
	}
	before, had := set.Annotations[revisionAnnotation]
	last, err := strconv.ParseInt(before, 10, 64)
	if before != "" && err != nil {
		return false // somebody else's; better not touched
	}
	if last >= revision {
		return changed
	}
	put(revisionAnnotation, strconv.FormatInt(revision, 10))
	if had {
		put(revisionHistoryAnnotation, lengthen(set.Annotations[revisionHistoryAnnotation], before))
	}
	return changed
}

// lengthen appends a revision to a history, and drops the oldest that no longer
// fit.
func lengthen(history, revision string) string {
	if history == "" {
		return revision
	}
	history += "," + revision
	for len(history) > revisionHistoryLength {
		_, rest, more := strings.Cut(history, ",")
		if !more {
			return history
		}
		history = rest
	}
	return history
}

// annotateReplicas notes on a ReplicaSet what the Deployment asked for when it
// was last sized, from which proportions are reckoned later.
func annotateReplicas(d *appsv1.Deployment, set *appsv1.ReplicaSet) (changed bool) {
	surge, _ := fences(d)
	for key, n := range map[string]int32{desiredReplicasAnnotation: *d.Spec.Replicas, maxReplicasAnnotation: *d.Spec.Replicas + surge} {
		if value := strconv.Itoa(int(n)); set.Annotations[key] != value {
			set.Annotations = with(set.Annotations, key, value)
			changed = true
		}
	}
	return changed
}

// revisionOf is 0 if the ReplicaSet has none, or none that is a number.
func revisionOf(set *appsv1.ReplicaSet) int64 {
	if set == nil {
		return 0
	}
	n, err := strconv.ParseInt(set.Annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func lastRevision(sets []*appsv1.ReplicaSet) (last int64) {
	for _, set := range sets {
		last = max(last, revisionOf(set))
	}
	return last
}

// outlived are the old ReplicaSets that the revision history has no room for.
func outlived(d *appsv1.Deployment, old []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	if d.Spec.RevisionHistoryLimit == nil {
		return nil
	}
	living := slices.DeleteFunc(slices.Clone(old), func(s *appsv1.ReplicaSet) bool { return s.DeletionTimestamp != nil })
	excess := len(living) - int(*d.Spec.RevisionHistoryLimit)
	if excess <= 0 {
		return nil
	}
	slices.SortStableFunc(living, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revisionOf(a), revisionOf(b)), compareAge(a, b))
	})
	return slices.DeleteFunc(living[:excess], func(s *appsv1.ReplicaSet) bool {
		return s.Status.Replicas != 0 || *s.Spec.Replicas != 0 || s.Generation > s.Status.ObservedGeneration
	})
}

func with(labels map[string]string, key, value string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}
