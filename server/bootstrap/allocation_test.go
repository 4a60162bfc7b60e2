package bootstrap

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/storage/storagetest"
)

// Two servers that create services at once never give an address or a node
// port twice, and what is deleted is given again.
func TestAllocationsAreUnique(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	servers := []*testServer{newServer(t, endpoint, "192.0.2.1"), newServer(t, endpoint, "192.0.2.2")}
	for _, s := range servers {
		s.run(t)
	}
	const workers, each = 4, 10
	var (
		creating  sync.WaitGroup
		mu        sync.Mutex
		addresses = map[string]string{}
		ports     = map[int32]string{}
	)
	for i, s := range servers {
		for worker := range workers {
			creating.Go(func() {
				for n := range each {
					name := fmt.Sprintf("s%d-%d-%d", i, worker, n)
					service, err := s.client.CoreV1().Services("default").Create(t.Context(),
						testService(name, corev1.ServiceTypeNodePort), metav1.CreateOptions{})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if other := addresses[service.Spec.ClusterIP]; other != "" {
						t.Errorf("%s and %s have address %s", name, other, service.Spec.ClusterIP)
					}
					addresses[service.Spec.ClusterIP] = name
					port := service.Spec.Ports[0].NodePort
					if other := ports[port]; other != "" {
						t.Errorf("%s and %s have node port %d", name, other, port)
					}
					ports[port] = name
					mu.Unlock()
				}
			})
		}
	}
	creating.Wait()
	if len(ports) != len(servers)*workers*each || len(addresses) != len(ports) {
		t.Errorf("%d ports and %d addresses", len(ports), len(addresses))
	}

	var port int32
	var holder string
	for port, holder = range ports {
		break
	}
	taken := testService("taken", corev1.ServiceTypeNodePort)
	taken.Spec.Ports[0].NodePort = port
	create := func(s *testServer) error {
		return second(s.client.CoreV1().Services("default").Create(t.Context(), taken, metav1.CreateOptions{}))
	}
	if err := create(servers[1]); err == nil || !strings.Contains(err.Error(), "provided port is already allocated") {
		t.Errorf("a taken port: %v", err)
	}
	must(t, servers[0].client.CoreV1().Services("default").Delete(t.Context(), holder, metav1.DeleteOptions{}))
	must(t, create(servers[1]))
}

// The repair loop overwrites the stored range only as it read it.
func TestRangeIsComparedAndSwapped(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	s := newServer(t, endpoint, "192.0.2.1")
	ports := s.installed.NodePorts
	service := testService("early", corev1.ServiceTypeNodePort)
	none, err := ports.Get()
	must(t, err)
	if none.ResourceVersion != "" {
		t.Fatalf("a fresh store has the range %+v", none)
	}
	s.run(t)
	stale, err := ports.Get()
	must(t, err)
	must(t, second(s.client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})))
	if err := ports.CreateOrUpdate(stale); !apierrors.IsConflict(err) {
		t.Errorf("a stale range was stored: %v", err)
	}
	stale.ResourceVersion = ""
	if err := ports.CreateOrUpdate(stale); !apierrors.IsConflict(err) {
		t.Errorf("a first range was stored over another: %v", err)
	}
	current, err := ports.Get()
	must(t, err)
	must(t, ports.CreateOrUpdate(current))
}

func testService(name string, kind corev1.ServiceType) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}
