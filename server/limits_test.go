package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/flowcontrol"
)

// testers may do everything, but are not above the limits as administrators are.
const testers = "testers"

func startWithTesters(t *testing.T, options Options) *Server {
	t.Helper()
	s := start(t, options)
	_, err := clientOf(t, s).RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: testers},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: testers}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tester := clientFor(t, configOf(t, s, "tester", testers))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // until the binding counts
		if _, err = tester.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// configOf is for a user with a certificate of the server's own authority.
func configOf(t *testing.T, s *Server, name string, groups ...string) *rest.Config {
	t.Helper()
	_, config := caller(t, s, name, groups...)
	config.QPS, config.RateLimiter = -1, nil
	return config
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func limits(requests, mutating int, fairness bool) *LimitOptions {
	return &LimitOptions{Limits: flowcontrol.Limits{Requests: requests, MutatingRequests: mutating, Fairness: fairness}}
}

// TestFlood: while one user asks for far more than the server can do, nodes
// renew their leases, a leader keeps its own, and the administrator gets answers.
func TestFlood(t *testing.T) {
	s := startWithTesters(t, Options{DataDir: t.TempDir(), Limits: limits(8, 4, true), RequestTimeout: 4 * time.Second})
	admin := clientOf(t, s)
	for i := range 20 {
		_, err := admin.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", i)}, Data: map[string]string{"x": strings.Repeat("0123456789", 5_000)},
		}, metav1.CreateOptions{})
		check(t, err)
	}
	node := clientFor(t, configOf(t, s, "system:node:one", "system:nodes"))
	scheduler := clientFor(t, configOf(t, s, "system:kube-scheduler", testers)) // its own lease is the server's
	for _, who := range []struct {
		client          kubernetes.Interface
		namespace, name string
	}{{admin, "kube-node-lease", "one"}, {admin, "kube-system", "leader"}} {
		_, err := who.client.CoordinationV1().Leases(who.namespace).Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: who.name}}, metav1.CreateOptions{})
		check(t, err)
	}

	flooding, end := context.WithCancel(t.Context())
	defer end()
	var flood sync.WaitGroup
	var answered, turnedAway atomic.Int64
	config := configOf(t, s, "flooder", testers)
	for range 8 {
		transport, err := rest.HTTPClientFor(rest.CopyConfig(config))
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			flood.Go(func() {
				for flooding.Err() == nil {
					r, err := http.NewRequestWithContext(flooding, "GET", config.Host+"/api/v1/configmaps", nil)
					if err != nil {
						return
					}
					response, err := transport.Do(r)
					if err != nil {
						continue
					}
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
					switch response.StatusCode {
					case http.StatusOK:
						answered.Add(1)
					case http.StatusTooManyRequests:
						turnedAway.Add(1)
						if response.Header.Get("Retry-After") == "" || response.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID) == "" ||
							response.Header.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID) == "" {
							t.Errorf("a 429 with %v", response.Header)
						}
						select { // as Retry-After asks, but not quite as patient
						case <-time.After(100 * time.Millisecond):
						case <-flooding.Done():
						}
					default:
						t.Errorf("the flooder got %s", response.Status)
					}
				}
			})
		}
	}
	for deadline := time.Now().Add(30 * time.Second); turnedAway.Load() == 0 || answered.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d answered, %d turned away", answered.Load(), turnedAway.Load())
		}
	}

	for who, renewal := range map[string]func(ctx context.Context) error{
		"node":      func(ctx context.Context) error { return renew(ctx, node, "kube-node-lease", "one") },
		"scheduler": func(ctx context.Context) error { return renew(ctx, scheduler, "kube-system", "leader") },
		"administrator": func(ctx context.Context) error {
			_, err := admin.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
			return err
		},
	} {
		var took []time.Duration
		for range 10 {
			began := time.Now()
			check(t, renewal(t.Context()))
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		longest := took[len(took)-1]
		t.Logf("%s: %v at the median, %v at most", who, took[len(took)/2], longest)
		if longest > 10*time.Second { // a lease is lost after 15
			t.Errorf("the %s waited %v", who, longest)
		}
	}
	t.Logf("the flooder: %d answered, %d turned away", answered.Load(), turnedAway.Load())
	metrics, err := admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	check(t, err)
	for _, name := range []string{"apiserver_flowcontrol_rejected_requests_total{", "apiserver_flowcontrol_dispatched_requests_total{", "apiserver_flowcontrol_current_inqueue_requests{",
		"apiserver_flowcontrol_nominal_limit_seats{", "apiserver_current_inflight_requests{", "apiserver_current_inqueue_requests{"} {
		if !bytes.Contains(metrics, []byte("\n"+name)) {
			t.Errorf("no metric %s", name)
		}
	}
	shown, err := admin.CoreV1().RESTClient().Get().AbsPath("/debug/api_priority_and_fairness/dump_priority_levels").DoRaw(t.Context())
	if err != nil || !bytes.Contains(shown, []byte("node-high")) {
		t.Errorf("shown %s: %v", shown, err)
	}
	end()
	flood.Wait()
}

func renew(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	leases := client.CoordinationV1().Leases(namespace)
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// TestSharesChange: whose share requests are of follows the cluster's configuration,
// also for those that have been seen before.
func TestSharesChange(t *testing.T) {
	t.Parallel()
	s := startWithTesters(t, Options{DataDir: t.TempDir(), Limits: limits(400, 200, true)})
	config := configOf(t, s, "reader", testers)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	shareOf := func() string {
		answer, err := client.Get(config.Host + "/api/v1/namespaces/default/configmaps")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID)
	}
	schemas := clientOf(t, s).FlowcontrolV1().FlowSchemas()
	uid := func(name string) string {
		schema, err := schemas.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(schema.UID)
	}
	wait := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); shareOf() != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("requests are of %s, want %s", shareOf(), want)
			}
		}
	}
	wait(uid("global-default"))
	mine := &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "workload-low"}, MatchingPrecedence: 100,
		Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
			Subjects:      []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: "reader"}}},
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, Namespaces: []string{"default"}}},
		}},
	}}
	if _, err := schemas.Create(t.Context(), mine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(uid("mine"))
	if err := schemas.Delete(t.Context(), "mine", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(uid("global-default"))
}

// TestWatchesTakeNoSeats: watches count while they begin, not while they wait.
func TestWatchesTakeNoSeats(t *testing.T) {
	t.Parallel()
	s := startWithTesters(t, Options{DataDir: t.TempDir(), Limits: limits(3, 3, true), RequestTimeout: 20 * time.Second})
	user := clientFor(t, configOf(t, s, "watcher", testers))
	for range 30 {
		w, err := user.CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
	}
	if _, err := user.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// slowWrite begins a request and does not end its body.
func slowWrite(t *testing.T, s *Server, config *rest.Config) net.Conn {
	t.Helper()
	settings, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	settings.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port()), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPlainLimits: without fairness the two limits hold, apart.
func TestPlainLimits(t *testing.T) {
	t.Parallel()
	s := startWithTesters(t, Options{DataDir: t.TempDir(), Limits: limits(5, 1, false)})
	config := configOf(t, s, "writer", testers)
	slowWrite(t, s, config)
	user := clientFor(t, config)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		// client-go would wait and ask again.
		r := user.CoreV1().RESTClient().Delete().AbsPath("/api/v1/namespaces/default/configmaps/none").MaxRetries(0).Do(t.Context())
		if err := r.Error(); apierrors.IsTooManyRequests(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a second write is let in")
		}
	}
	if _, err := user.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := clientOf(t, s).CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the administrator is held up: %v", err)
	}
}

// TestSlowBody: a body that does not come ends with the request's time.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := startWithTesters(t, Options{DataDir: t.TempDir(), RequestTimeout: time.Second})
	c := slowWrite(t, s, configOf(t, s, "writer", testers))
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		t.Fatal("the server waits on")
	}
	if err == nil {
		response.Body.Close()
		if response.StatusCode < 400 {
			t.Errorf("got %s", response.Status)
		}
	}
}

// TestSlowConnections: connections that say nothing, or half of a header, keep
// nobody out.
func TestSlowConnections(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	address := fmt.Sprintf("127.0.0.1:%d", s.Port())
	for i := range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%3 == 0 {
			continue // says nothing
		}
		shaken := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := shaken.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%3 == 1 {
			_, err = io.WriteString(shaken, "GET /readyz HTTP/1.1\r\nHost: x\r\nX-Half: ")
			check(t, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := clientOf(t, s).CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	// Until they are closed: a third each by the handshake's and the header's bound.
	if s.http.ReadHeaderTimeout <= 0 || s.http.ReadHeaderTimeout > time.Minute || s.http.IdleTimeout <= 0 {
		t.Errorf("headers may take %v, idle connections stay %v", s.http.ReadHeaderTimeout, s.http.IdleTimeout)
	}
}

// TestTooLarge: headers and bodies have bounds.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := startWithTesters(t, Options{DataDir: t.TempDir()})
	config := configOf(t, s, "writer", testers)
	for _, protocol := range []string{"http/1.1", "h2"} {
		config := rest.CopyConfig(config)
		config.NextProtos = []string{protocol}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			header, body int
			want         int // 0: the connection may end instead
		}{
			{100, 100, 422}, // an empty ConfigMap without a name
			{2 << 20, 0, 431},
			{100, 4 << 20, 413},
		} {
			body := `{"kind":"ConfigMap","apiVersion":"v1","data":{"x":"` + strings.Repeat("y", c.body) + `"}}`
			r, err := http.NewRequestWithContext(t.Context(), "POST", config.Host+"/api/v1/namespaces/default/configmaps", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Large", strings.Repeat("z", c.header))
			response, err := client.Do(r)
			if err != nil {
				if c.want == 431 || c.want == 413 { // it ended while we were still sending
					continue
				}
				t.Errorf("%s: %v", protocol, err)
				continue
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != c.want {
				t.Errorf("%s: %d bytes of header, %d of body: %s", protocol, c.header, c.body, response.Status)
			}
		}
		client.CloseIdleConnections()
	}
	if _, err := clientOf(t, s).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// TestGoaway: clients connect again now and then, and lose no request by it.
func TestGoaway(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	limits.GoawayChance = 0.02
	s := start(t, Options{DataDir: t.TempDir(), Limits: &limits})
	var dials atomic.Int64
	config := adminConfig(t, s)
	config.QPS = -1
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	client := clientFor(t, config)
	for range 5000 {
		if _, err := client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		if dials.Load() > 1 {
			return
		}
	}
	t.Error("the client never had to connect again")
}

// TestProfiling: profiles are for known callers, and only if they are wanted.
func TestProfiling(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := start(t, Options{DataDir: t.TempDir(), Profiling: on})
		body, err := clientOf(t, s).CoreV1().RESTClient().Get().AbsPath("/debug/pprof/goroutine").Param("debug", "1").DoRaw(t.Context())
		if on && (err != nil || !bytes.Contains(body, []byte("goroutine profile:"))) || !on && !apierrors.IsNotFound(err) {
			t.Errorf("profiling %v: %.50q %v", on, body, err)
		}
		stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := stranger.Get(adminConfig(t, s).Host + "/debug/pprof/")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 401 && response.StatusCode != 403 {
			t.Errorf("a stranger got %s", response.Status)
		}
		stranger.CloseIdleConnections()
	}
}
