package protection

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	claims "github.com/howdah/howdah/controllers/claim"
)

// user is a pod that names the claim ns/data, on a node.
func user(phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"},
		Spec: corev1.PodSpec{NodeName: "a", Volumes: []corev1.Volume{{
			Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}},
		}}},
		Status: corev1.PodStatus{Phase: phase},
	}
}

// newClaimGuard has what the informer and the API know of pods; nil: of none.
func newClaimGuard(t *testing.T, known, live *corev1.Pod, now time.Time) (*claimGuard, *fake.Clientset) {
	client := fake.NewSimpleClientset(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data"}})
	pods := informers.NewSharedInformerFactory(client, 0).Core().V1().Pods().Informer()
	if err := claims.Index(pods); err != nil {
		t.Fatal(err)
	}
	if known != nil {
		if err := pods.GetIndexer().Add(known); err != nil {
			t.Fatal(err)
		}
	}
	if live != nil {
		if err := client.Tracker().Add(live); err != nil {
			t.Fatal(err)
		}
	}
	return &claimGuard{client: client, clock: clocktesting.NewFakePassiveClock(now), pods: pods}, client
}

func TestUsedBy(t *testing.T) {
	for _, test := range []struct {
		name        string
		known, live *corev1.Pod
		want        bool
	}{
		{name: "no pod"},
		{"a pod", user(corev1.PodRunning), user(corev1.PodRunning), true},
		{"a pod that only the informer has yet", nil, user(corev1.PodRunning), true},
		{"a pod that only the informer has still", user(corev1.PodRunning), nil, true},
	} {
		g, _ := newClaimGuard(t, test.known, test.live, time.Time{})
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data"}}
		if got, err := g.usedBy(t.Context(), claim, keeps); err != nil || got != test.want {
			t.Errorf("%s: %v %v", test.name, got, err)
		}
	}
}

func TestTellUse(t *testing.T) {
	now, before := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		pod    *corev1.Pod
		had    corev1.ConditionStatus // none: it has no such condition
		writes bool
		want   corev1.ConditionStatus
		since  time.Time
		reason string
	}{
		{"new", nil, "", true, corev1.ConditionTrue, now, "NoPodsUsingPVC"},
		{"new, used", user(corev1.PodPending), "", true, corev1.ConditionFalse, now, "PodUsingPVC"},
		{"unused as before", nil, corev1.ConditionTrue, false, corev1.ConditionTrue, before, "before"},
		{"used as before", user(corev1.PodRunning), corev1.ConditionFalse, false, corev1.ConditionFalse, before, "before"},
		{"used now", user(corev1.PodRunning), corev1.ConditionTrue, true, corev1.ConditionFalse, now, "PodUsingPVC"},
		{"used no more", nil, corev1.ConditionFalse, true, corev1.ConditionTrue, now, "NoPodsUsingPVC"},
		{"whose pod is over", user(corev1.PodSucceeded), corev1.ConditionFalse, true, corev1.ConditionTrue, now, "NoPodsUsingPVC"},
	} {
		g, client := newClaimGuard(t, test.pod, nil, now)
		other := corev1.PersistentVolumeClaimCondition{Type: corev1.PersistentVolumeClaimResizing, Status: corev1.ConditionTrue}
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data"}}
		claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{other}
		if test.had != "" {
			claim.Status.Conditions = append(claim.Status.Conditions, corev1.PersistentVolumeClaimCondition{
				Type: corev1.PersistentVolumeClaimUnused, Status: test.had, Reason: "before", LastTransitionTime: metav1.NewTime(before),
			})
		}
		cached := claim.DeepCopy()
		told, err := g.tellUse(t.Context(), cached)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		writes := false
		for _, action := range client.Actions() {
			update, ok := action.(clienttesting.UpdateAction)
			writes = writes || ok && update.GetSubresource() == "status"
		}
		got := unused(told)
		if writes != test.writes || got == nil || got.Status != test.want || got.Reason != test.reason || !got.LastTransitionTime.Time.Equal(test.since) {
			t.Errorf("a claim %s: writes %v, %v", test.name, writes, got)
		}
		if len(told.Status.Conditions) != 2 || told.Status.Conditions[0] != other {
			t.Errorf("a claim %s: the other conditions %v", test.name, told.Status.Conditions)
		}
		if had := unused(cached); (had == nil) != (test.had == "") || had != nil && had.Status != test.had {
			t.Errorf("a claim %s: the informer's was changed: %v", test.name, had)
		}
	}
}
