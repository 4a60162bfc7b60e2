package component

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

// TestHeldUp has a leader be held up until another one leads: what it was about to
// write then is refused, and it leaves the lease to the other.
func TestHeldUp(t *testing.T) {
	var writes atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writes.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"ConfigMap","apiVersion":"v1"}`))
	}))
	defer api.Close()

	leases := fake.NewClientset()
	var held atomic.Bool
	goOn := make(chan struct{})
	leases.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if held.Load() {
			<-goOn
			return true, nil, errors.New("it took too long")
		}
		return false, nil, nil
	})
	election := Election{Namespace: "kube-system", Name: "work", Identity: "me", LeaseDuration: 600 * time.Millisecond, RenewDeadline: 400 * time.Millisecond, RetryPeriod: 50 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Lead(ctx, leases, election, slog.New(slog.DiscardHandler), func(work context.Context) error {
		defer cancel()
		client, err := kubernetes.NewForConfig(Fenced(work, &rest.Config{Host: api.URL, QPS: -1}))
		if err != nil {
			return err
		}
		maps := client.CoreV1().ConfigMaps("default")
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{}, metav1.CreateOptions{}); err != nil || writes.Load() != 1 {
			t.Errorf("%d writes while it leads: %v", writes.Load(), err)
		}
		if who := holder(t, leases); who != "me" {
			t.Errorf("the leader is %q", who)
		}
		held.Store(true)
		time.Sleep(election.LeaseDuration) // from now on another may hold it
		other := "other"
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "work"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &other}}
		if err := leases.Tracker().Update(coordinationv1.SchemeGroupVersion.WithResource("leases"), lease, "kube-system"); err != nil {
			t.Error(err)
		}
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{}, metav1.CreateOptions{}); !errors.Is(err, errNotLeading) || writes.Load() != 1 {
			t.Errorf("%d writes, one of them beside another leader: %v", writes.Load(), err)
		}
		if _, err := maps.Get(t.Context(), "x", metav1.GetOptions{}); err != nil {
			t.Errorf("can't read: %v", err)
		}
		held.Store(false)
		close(goOn)
		<-work.Done()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if who := holder(t, leases); who != "other" {
		t.Errorf("in the end the leader is %q", who)
	}
}

// TestClocksJump has the leader's clock jump by an hour, there and back, while it
// renews its lease: nobody leads beside it, and who comes after it waits for as long
// as it has been silent, whatever time it wrote last.
func TestClocksJump(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			leases := fake.NewClientset()
			other, seconds := "other", int32(15)
			renew := func(at time.Time) {
				lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "work"}, Spec: coordinationv1.LeaseSpec{
					HolderIdentity: &other, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: at},
				}}
				if err := leases.Tracker().Update(coordinationv1.SchemeGroupVersion.WithResource("leases"), lease, "kube-system"); err != nil {
					t.Error(err)
				}
			}
			if _, err := leases.CoordinationV1().Leases("kube-system").Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "work"}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			renew(time.Now())
			ctx, cancel := context.WithCancel(t.Context())
			leads, ended := make(chan time.Time, 1), make(chan error, 1)
			go func() {
				ended <- Lead(ctx, leases, Election{Namespace: "kube-system", Name: "work", Identity: "me"}, slog.New(slog.DiscardHandler), func(work context.Context) error {
					leads <- time.Now()
					<-work.Done()
					return nil
				})
			}()
			for i := range 30 {
				time.Sleep(2 * time.Second)
				renew(time.Now().Add(time.Duration(i%2) * jump))
			}
			if len(leads) > 0 {
				t.Error("two lead")
			}
			last := time.Now()
			if silence := (<-leads).Sub(last); silence < 15*time.Second || silence > 25*time.Second {
				t.Errorf("the next one leads %v after the last renewal", silence)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func holder(t *testing.T, leases *fake.Clientset) string {
	t.Helper()
	lease, err := leases.CoordinationV1().Leases("kube-system").Get(t.Context(), "work", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *lease.Spec.HolderIdentity
}
