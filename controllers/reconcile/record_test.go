package reconcile

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/lru"
)

func TestRecorderDropsWhatIsTooMuch(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	to := record.NewFakeRecorder(1000)
	r := &recorder{clock: clock, budgets: lru.New(rememberedObjects), get: func() record.EventRecorder { return to }}
	tell := func(uid types.UID, count int) (written int) {
		for range count {
			r.Eventf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}}, corev1.EventTypeNormal, "Tested", "%s", uid)
		}
		for len(to.Events) > 0 {
			<-to.Events
			written++
		}
		return written
	}
	for _, test := range []struct {
		uid         types.UID
		tell, after int
		written     int
	}{
		{"a", 10, 0, 10},
		{"a", 100, 0, 15},
		{"b", 100, 0, 25},
		{"a", 10, 299, 0},
		{"a", 10, 1, 1},
		{"", 100, 0, 100}, // of nobody knows what
	} {
		clock.SetTime(clock.Now().Add(time.Duration(test.after) * time.Second))
		if got := tell(test.uid, test.tell); got != test.written {
			t.Errorf("after %d s, of %d events of %q %d were written, want %d", test.after, test.tell, test.uid, got, test.written)
		}
	}
}
