package owned

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var setKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}

func owner(uid string, change ...func(*metav1.ObjectMeta)) *metav1.ObjectMeta {
	m := &metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID(uid)}
	for _, c := range change {
		c(m)
	}
	return m
}

func deleted(m *metav1.ObjectMeta) { now := metav1.Now(); m.DeletionTimestamp = &now }

func of(owner metav1.Object) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, setKind)}
	}
}

func labeled(app string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) { m.Labels = map[string]string{"app": app} }
}

func aPod(change ...func(*metav1.ObjectMeta)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "pod"}}
	for _, c := range change {
		c(&p.ObjectMeta)
	}
	return p
}

func TestClaim(t *testing.T) {
	us, other := owner("us"), owner("other")
	gone := apierrors.NewNotFound(corev1.Resource("pods"), "p")
	for _, test := range []struct {
		name    string
		owner   *metav1.ObjectMeta
		fresh   *metav1.ObjectMeta
		pod     *corev1.Pod
		fails   error // of the patch
		ours    bool
		patched string // part of the patch
		err     string
	}{
		{name: "ours", pod: aPod(labeled("web"), of(us)), ours: true},
		{name: "ours of a deleted owner", owner: owner("us", deleted), pod: aPod(labeled("web"), of(us)), ours: true},
		{name: "another's", pod: aPod(labeled("web"), of(other))},
		{name: "an orphan that doesn't match", pod: aPod(labeled("db"))},
		{name: "an orphan", pod: aPod(labeled("web")), ours: true, patched: `"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"us","controller":true,"blockOwnerDeletion":true}],"uid":"pod"`},
		{name: "an orphan that ends", pod: aPod(labeled("web"), deleted)},
		{name: "an orphan that is gone", pod: aPod(labeled("web")), fails: gone, patched: "ownerReferences"},
		{name: "an orphan that can't be patched", pod: aPod(labeled("web")), fails: errors.New("no"), patched: "ownerReferences", err: "no"},
		{name: "an orphan, but the cache has a deleted owner", owner: owner("us", deleted), pod: aPod(labeled("web"))},
		{name: "an orphan, but the server has a deleted owner", fresh: owner("us", deleted), pod: aPod(labeled("web")), err: "has just been deleted"},
		{name: "an orphan, but the server has another owner", fresh: other, pod: aPod(labeled("web")), err: "original ReplicaSet default/web is gone: got uid other, wanted us"},
		{name: "ours that no longer matches", pod: aPod(labeled("db"), of(us)), patched: `"ownerReferences":[{"$patch":"delete","uid":"us"}],"uid":"pod"`},
		{name: "ours that no longer matches, gone", pod: aPod(labeled("db"), of(us)), fails: gone, patched: "delete"},
		{name: "ours that no longer matches, of a deleted owner", owner: owner("us", deleted), pod: aPod(labeled("db"), of(us))},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.owner == nil {
				test.owner = us
			}
			if test.fresh == nil {
				test.fresh = test.owner
			}
			var patched string
			claim := Claim[*corev1.Pod]{
				Owner: test.owner, Kind: setKind, Selector: labels.SelectorFromSet(labels.Set{"app": "web"}),
				Recheck: func(context.Context) (metav1.Object, error) { return test.fresh, nil },
				Patch: func(_ context.Context, _ *corev1.Pod, kind types.PatchType, patch []byte) error {
					patched = string(patch)
					if kind != types.StrategicMergePatchType {
						t.Errorf("patch type %s", kind)
					}
					return test.fails
				},
			}
			ours, err := claim.All(t.Context(), []*corev1.Pod{test.pod})
			if (len(ours) == 1) != test.ours {
				t.Errorf("ours: %v", ours)
			}
			if fmt.Sprint(err) != "<nil>" && (test.err == "" || !strings.Contains(err.Error(), test.err)) || err == nil && test.err != "" {
				t.Errorf("error %v, not %q", err, test.err)
			}
			if (patched == "") != (test.patched == "") || !strings.Contains(patched, test.patched) {
				t.Errorf("patched %s, not %s", patched, test.patched)
			}
		})
	}
}

func TestClaimOfFinalizers(t *testing.T) {
	var patches []string
	us := owner("us")
	claim := Claim[*corev1.Pod]{
		Owner: us, Kind: setKind, Selector: labels.SelectorFromSet(labels.Set{"app": "web"}), Finalizer: "batch.kubernetes.io/job-tracking",
		Recheck: func(context.Context) (metav1.Object, error) { return us, nil },
		Patch: func(_ context.Context, _ *corev1.Pod, _ types.PatchType, patch []byte) error {
			patches = append(patches, string(patch))
			return nil
		},
	}
	if _, err := claim.All(t.Context(), []*corev1.Pod{aPod(labeled("web")), aPod(labeled("db"), of(us))}); err != nil {
		t.Fatal(err)
	}
	if len(patches) != 2 || !strings.Contains(patches[0], `"finalizers":["batch.kubernetes.io/job-tracking"]`) ||
		!strings.Contains(patches[1], `"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"]`) {
		t.Errorf("patched %v", patches)
	}
}
