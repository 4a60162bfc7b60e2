package bootstraptoken

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/howdah/howdah/controllers/reconcile"
)

func TestClean(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	resource := corev1.Resource("secrets")
	for _, test := range []struct {
		name    string
		exists  bool
		until   string
		answer  error // of the API
		deletes bool
		fails   bool
	}{
		{name: "gone"},
		{name: "for ever", exists: true},
		{name: "valid", exists: true, until: "2026-01-02T03:04:06Z"},
		{name: "expired", exists: true, until: "2026-01-02T03:04:04Z", deletes: true},
		{name: "expired just now", exists: true, until: "2026-01-02T03:04:05Z", deletes: true},
		{name: "expired, in another time zone", exists: true, until: "2026-01-02T04:04:04+01:00", deletes: true},
		{name: "until a time that is none", exists: true, until: "tomorrow", deletes: true},
		{name: "expired, and gone meanwhile", exists: true, until: "2026-01-01T00:00:00Z", answer: apierrors.NewNotFound(resource, "token"), deletes: true},
		{name: "expired, and made anew meanwhile", exists: true, until: "2026-01-01T00:00:00Z", answer: apierrors.NewConflict(resource, "token", errors.New("another UID")), deletes: true},
		{name: "expired, where it may not", exists: true, until: "2026-01-01T00:00:00Z", answer: apierrors.NewForbidden(resource, "token", errors.New("no")), deletes: true, fails: true},
	} {
		known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		if test.exists {
			token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "token", UID: "uid"}, Data: map[string][]byte{}}
			if test.until != "" {
				token.Data["expiration"] = []byte(test.until)
			}
			if err := known.Add(token); err != nil {
				t.Fatal(err)
			}
		}
		client, deletes := fake.NewSimpleClientset(), false
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			gone := action.(clienttesting.DeleteAction)
			deletes = gone.GetNamespace() == "kube-system" && gone.GetName() == "token" && *gone.GetDeleteOptions().Preconditions.UID == "uid"
			return true, nil, test.answer
		})
		x := &cleaner{
			client: client, clock: clocktesting.NewFakePassiveClock(now), tokens: corelisters.NewSecretLister(known),
			queue: reconcile.NewQueue[string](&reconcile.Controller{}, "test", 0, nil),
		}
		if err := x.sync(t.Context(), "token"); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
		if deletes != test.deletes {
			t.Errorf("%s: deletes it: %v", test.name, deletes)
		}
	}
}
