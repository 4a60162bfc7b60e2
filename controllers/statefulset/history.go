package statefulset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	appsdefaults "k8s.io/kubernetes/pkg/apis/apps/v1"

	"github.com/howdah/howdah/controllers/revision"
)

const (
	hashLabel = "controller.kubernetes.io/hash"
	// maxPrefix of a revision's name.
	maxPrefix = 223
	// claimRecheck is how often to look whether a former pod's claim is gone.
	claimRecheck = time.Second
)

// revisions are the revision that the set is at and the one that it goes to, as
// made or renumbered.
func (x *controller) revisions(ctx context.Context, set *appsv1.StatefulSet, all []*appsv1.ControllerRevision) (current, update *appsv1.ControllerRevision, err error) {
	revision.Sort(all)
	patch, err := revision.Patch(set)
	if err != nil {
		return nil, nil, err
	}
	collisions := int32(0)
	if set.Status.CollisionCount != nil {
		collisions = *set.Status.CollisionCount
	}
	wanted := newRevision(set, patch, revision.Next(all), collisions)
	for _, r := range all {
		if revision.Same(r, wanted) {
			update = r
		}
	}
	last := len(all) - 1
	switch {
	case update == nil && last >= 0 && x.restores(set, all[last], wanted):
		update = all[last]
	case update == nil:
		update, err = x.create(ctx, set, wanted, &collisions)
	case update != all[last]:
		update, err = x.history.Renumber(ctx, set, update, wanted.Revision)
	}
	if err != nil {
		return nil, nil, err
	}
	set.Status.CollisionCount = &collisions
	current = update
	for _, r := range all {
		if r.Name == set.Status.CurrentRevision {
			current = r
		}
	}
	return current, update, nil
}

// A restored is what [controller.restores] found once.
type restored struct {
	set             types.UID
	generation      int64
	resourceVersion string // of the revision
}

// maxRestored bounds the memory of what was found to 1 MB or so.
const maxRestored = 10_000

// restores is whether going back to a revision would change nothing of the set,
// though the bytes differ: a server of another release wrote fields in another
// way, or didn't know a field that has a default now. Pods are not replaced for
// that (feature gate StatefulSetSemanticRevisionComparison of kube-controller-manager).
func (x *controller) restores(set *appsv1.StatefulSet, r, wanted *appsv1.ControllerRevision) bool {
	key := restored{set.UID, set.Generation, r.ResourceVersion}
	if _, ok := x.restored.Get(key); ok {
		return true
	}
	then, err := at(set, r)
	if err != nil {
		return false
	}
	appsdefaults.SetObjectDefaults_StatefulSet(then.set)
	patch, err := revision.Patch(then.set)
	if err != nil || !bytes.Equal(patch, wanted.Data.Raw) {
		return false
	}
	x.restored.Add(key, struct{}{})
	return true
}

// create makes a revision, by another name for each other template whose name is
// the same.
func (x *controller) create(ctx context.Context, set *appsv1.StatefulSet, wanted *appsv1.ControllerRevision, collisions *int32) (*appsv1.ControllerRevision, error) {
	for {
		created, err := x.history.Create(ctx, set, wanted)
		if !apierrors.IsAlreadyExists(err) {
			return created, err
		}
		there, err := x.history.Get(ctx, set.Namespace, wanted.Name)
		if err != nil {
			return nil, err
		}
		if revision.Same(there, wanted) {
			return there, nil
		}
		*collisions++
		wanted = newRevision(set, wanted.Data.Raw, wanted.Revision, *collisions)
	}
}

func newRevision(set *appsv1.StatefulSet, patch []byte, number int64, collisions int32) *appsv1.ControllerRevision {
	hash := fnv.New32()
	hash.Write(patch)
	hash.Write([]byte(strconv.Itoa(int(collisions))))
	short := rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
	marks := maps.Clone(set.Spec.Template.Labels)
	if marks == nil {
		marks = map[string]string{}
	}
	marks[hashLabel] = short
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: set.Name[:min(len(set.Name), maxPrefix)] + "-" + short, Namespace: set.Namespace, Labels: marks, Annotations: maps.Clone(set.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, statefulSetKind)},
		},
		Data: runtime.RawExtension{Raw: patch}, Revision: number,
	}
}

// atBoth are the set at two revisions.
func atBoth(set *appsv1.StatefulSet, current, update *appsv1.ControllerRevision) (before, after revised, err error) {
	if before, err = at(set, current); err != nil {
		return before, after, err
	}
	after, err = at(set, update)
	return before, after, err
}

// at is the set with the template of a revision.
func at(set *appsv1.StatefulSet, r *appsv1.ControllerRevision) (revised, error) {
	var held struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &held); err != nil {
		return revised{}, fmt.Errorf("read the ControllerRevision %s/%s: %w", r.Namespace, r.Name, err)
	}
	then := set.DeepCopy()
	then.Spec.Template = held.Spec.Template
	return revised{then, r.Name}, nil
}

// cleanUp deletes the revisions that the history has no room for and nothing is
// at.
func (x *controller) cleanUp(ctx context.Context, set *appsv1.StatefulSet, all []*appsv1.ControllerRevision, pods []*corev1.Pod, current, update *appsv1.ControllerRevision) error {
	if set.Spec.RevisionHistoryLimit == nil || *set.Spec.RevisionHistoryLimit < 0 {
		return nil
	}
	live := map[string]bool{current.Name: true, update.Name: true}
	for _, p := range pods {
		live[revisionOf(p)] = true
	}
	for _, r := range revision.Outlived(all, int(*set.Spec.RevisionHistoryLimit), func(r *appsv1.ControllerRevision) bool { return live[r.Name] }) {
		if err := x.history.Delete(ctx, set, r); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
