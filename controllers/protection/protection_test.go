package protection

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

func TestProtect(t *testing.T) {
	const ours, others = "example.org/ours", "example.org/others"
	resource := corev1.Resource("persistentvolumes")
	gone, conflict, broken := apierrors.NewNotFound(resource, "v"), apierrors.NewConflict(resource, "v", errors.New("changed")), errors.New("broken")
	for _, test := range []struct {
		name       string
		exists     bool
		deleted    bool
		finalizers string
		used       bool
		look       error // of looking whether it is used
		answer     error // of the API
		writes     string
		err        error
	}{
		{name: "gone"},
		{name: "new", exists: true, writes: ours},
		{name: "new, with another's finalizer", exists: true, finalizers: others, writes: others + " " + ours},
		{name: "protected", exists: true, finalizers: ours},
		{name: "deleted, not protected", exists: true, deleted: true, finalizers: others},
		{name: "deleted, used", exists: true, deleted: true, finalizers: ours, used: true},
		{name: "deleted, not used", exists: true, deleted: true, finalizers: ours, writes: "none"},
		{name: "deleted, not used, with another's finalizer", exists: true, deleted: true, finalizers: ours + " " + others, writes: others},
		{name: "deleted, and nobody can tell whether it is used", exists: true, deleted: true, finalizers: ours, look: broken, err: broken},
		{name: "deleted, and gone meanwhile", exists: true, deleted: true, finalizers: ours, answer: gone, writes: "none"},
		{name: "deleted, and changed meanwhile", exists: true, deleted: true, finalizers: ours, answer: conflict, writes: "none", err: conflict},
		{name: "new, and gone meanwhile", exists: true, answer: gone, writes: ours},
		{name: "new, and changed meanwhile", exists: true, answer: conflict, writes: ours, err: conflict},
	} {
		volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", Finalizers: strings.Fields(test.finalizers)}}
		if test.deleted {
			volume.DeletionTimestamp = &metav1.Time{}
		}
		writes := ""
		g := &guard[*corev1.PersistentVolume]{
			finalizer: ours,
			get: func(cache.ObjectName) (*corev1.PersistentVolume, error) {
				if !test.exists {
					return nil, gone
				}
				return volume, nil
			},
			update: func(_ context.Context, changed *corev1.PersistentVolume) error {
				if writes = strings.Join(changed.Finalizers, " "); writes == "" {
					writes = "none"
				}
				return test.answer
			},
			used: func(context.Context, *corev1.PersistentVolume) (bool, error) { return test.used, test.look },
		}
		if err := g.sync(t.Context(), cache.ObjectName{Name: "v"}); !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.name, err)
		}
		if writes != test.writes {
			t.Errorf("%s: writes the finalizers %q, want %q", test.name, writes, test.writes)
		}
		if !slices.Equal(volume.Finalizers, strings.Fields(test.finalizers)) {
			t.Errorf("%s: the informer's was changed: %v", test.name, volume.Finalizers)
		}
	}
}

func TestAttributesClasses(t *testing.T) {
	for _, test := range []struct {
		name, wants, has, target string
		want                     string
	}{
		{name: "none"},
		{name: "not bound", wants: "silver", want: "silver"},
		{name: "settled", wants: "silver", has: "silver", want: "silver silver"},
		{name: "on its way", wants: "gold", has: "silver", target: "gold", want: "gold silver gold"},
		{name: "on its way to one that is no longer wanted", wants: "silver", has: "silver", target: "gold", want: "silver silver gold"},
	} {
		claim := &corev1.PersistentVolumeClaim{}
		claim.Spec.VolumeAttributesClassName = ptr.To(test.wants)
		if test.has != "" {
			claim.Status.CurrentVolumeAttributesClassName = ptr.To(test.has)
		}
		if test.target != "" {
			claim.Status.ModifyVolumeStatus = &corev1.ModifyVolumeStatus{TargetVolumeAttributesClassName: test.target}
		}
		if got := strings.Join(ofClaim(claim), " "); got != test.want {
			t.Errorf("a claim, %s: %q, want %q", test.name, got, test.want)
		}
		volume := &corev1.PersistentVolume{}
		volume.Spec.VolumeAttributesClassName = ptr.To(test.wants)
		if got := strings.Join(ofVolume(volume), " "); got != test.wants {
			t.Errorf("a volume, %s: %q, want %q", test.name, got, test.wants)
		}
	}
	if got := ofVolume(&corev1.PersistentVolume{}); len(got) != 0 {
		t.Errorf("a volume that says nothing: %v", got)
	}
}
