package component

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

// TestFenced has a leader go on with what it was about to write after its lease
// ran out, which only a process that was held up does.
func TestFenced(t *testing.T) {
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
	var silent atomic.Bool
	leases.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if silent.Load() {
			return true, nil, errors.New("out of reach")
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
		lease, err := leases.CoordinationV1().Leases("kube-system").Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil || *lease.Spec.HolderIdentity != "me" {
			t.Errorf("the lease is %+v: %v", lease, err)
		}
		silent.Store(true)
		time.Sleep(election.LeaseDuration) // from now on another may hold it
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{}, metav1.CreateOptions{}); !errors.Is(err, errNotLeading) || writes.Load() != 1 {
			t.Errorf("%d writes, one of them beside another leader: %v", writes.Load(), err)
		}
		if _, err := maps.Get(t.Context(), "x", metav1.GetOptions{}); err != nil {
			t.Errorf("can't read: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
