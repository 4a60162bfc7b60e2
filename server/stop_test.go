package server

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// TestStopIsNotNoticed: while a load balancer learns that a server stops, the
// server goes on with what it has, and its clients leave by themselves.
func TestStopIsNotNoticed(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second
	s := start(t, Options{DataDir: t.TempDir(), ShutdownDelay: delay})
	var dials atomic.Int64
	config := adminConfig(t, s)
	config.QPS = -1
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	maps := clientFor(t, config).CoreV1().ConfigMaps("default")
	watcher, err := maps.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()

	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	for !s.health.Stopping() {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	for i := range 2 { // the second one by another connection: that of the first has been given up
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "late-"}}, metav1.CreateOptions{}); err != nil {
			t.Errorf("request %d of a stopping server: %v", i, err)
		}
		time.Sleep(100 * time.Millisecond) // GOAWAY is on its way
	}
	if dials.Load() < 2 {
		t.Error("the client stays with the server")
	}
	events := 0
	for event := range watcher.ResultChan() {
		if m, ok := event.Object.(*corev1.ConfigMap); ok && m.GenerateName == "late-" {
			events++
		}
	}
	if lasted := time.Since(began); events != 2 || lasted < delay/2 {
		t.Errorf("the watch had %d events and ended after %v", events, lasted)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestWatchesEndAfterThePort: whose watch ends as the server stops is refused when it
// comes back, and doesn't wait for a server that is gone.
func TestWatchesEndAfterThePort(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	config := adminConfig(t, s)
	watcher, err := clientFor(t, config).CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	for range watcher.ResultChan() {
	}
	connection, err := net.Dial("tcp", strings.TrimPrefix(config.Host, "https://"))
	if err == nil {
		connection.Close()
	}
	if !utilnet.IsConnectionRefused(err) {
		t.Errorf("who comes back gets %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
