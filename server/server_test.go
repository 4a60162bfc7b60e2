package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func start(t *testing.T, options Options) *Server {
	t.Helper()
	options.BindAddress = net.IPv4(127, 0, 0, 1)
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func adminConfig(t *testing.T, s *Server) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestLife(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	file, err := os.Stat(filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if file.Mode().Perm() != 0o600 {
		t.Errorf("admin.kubeconfig has mode %v, want 0600", file.Mode())
	}
	client, err := kubernetes.NewForConfig(adminConfig(t, s))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: kept.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v with an open watch", took)
	}
	if _, open := <-watch.ResultChan(); open {
		t.Error("the watch did not end with the server")
	}
	stop(t, s) // once more does nothing

	again := start(t, Options{DataDir: dir})
	client, err = kubernetes.NewForConfig(adminConfig(t, again))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.UID != kept.UID || got.ResourceVersion != kept.ResourceVersion {
		t.Errorf("after a restart the object is %s at %s, was %s at %s", got.UID, got.ResourceVersion, kept.UID, kept.ResourceVersion)
	}
}

func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"port in use":   {Options{DataDir: t.TempDir(), BindAddress: net.IPv4(127, 0, 0, 1), SecurePort: taken.Addr().(*net.TCPAddr).Port}, "--secure-port"},
		"no database":   {Options{DataDir: t.TempDir(), BindAddress: net.IPv4(127, 0, 0, 1), DatastoreEndpoint: "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"}, "127.0.0.1"},
		"bad endpoint":  {Options{DataDir: t.TempDir(), BindAddress: net.IPv4(127, 0, 0, 1), DatastoreEndpoint: "mysql://x"}, "postgres://"},
		"no data dir":   {Options{}, "--data-dir"},
		"half of a TLS": {Options{DataDir: t.TempDir(), TLSCertFile: "x"}, "--tls-private-key-file"},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Logger = slog.New(slog.DiscardHandler)
			s, err := New(c.options)
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err = s.Start(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that names %s", err, c.want)
			}
		})
	}
}

// TestMisrouted has what kube-apiserver v1.37.2 answers to requests that reach
// no handler.
func TestMisrouted(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	config := adminConfig(t, s)
	admin, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer stranger.CloseIdleConnections()
	const (
		notFound   = "the server could not find the requested resource"
		notAllowed = "the server does not allow this method on the requested resource"
		plain      = "404 page not found\n"
	)
	for _, c := range []struct {
		client       *http.Client
		method, path string
		header       http.Header
		code         int
		message      string // of the Status, or the plain body
	}{
		{stranger, "GET", "/api/v1/namespaces", nil, 403, `namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope`},
		{stranger, "GET", "/foo", nil, 403, `forbidden: User "system:anonymous" cannot get path "/foo"`},
		{stranger, "GET", "/readyz", nil, 200, "ok"},
		{admin, "GET", "/foo", nil, 404, plain},
		{admin, "GET", "/api/v2", nil, 404, notFound},
		{admin, "GET", "/api/v1/foo", nil, 404, notFound},
		{admin, "GET", "/api/v1/namespaces/default/pods/x/foo", nil, 404, notFound},
		{admin, "GET", "/api/v1/namespaces/default/pods/x/status/y", nil, 404, notFound},
		{admin, "GET", "/api/v1/namespaces/default/nodes", nil, 404, notFound},
		{admin, "GET", "/api/v1/namespaces/default%2Fnodes", nil, 404, notFound},
		{admin, "GET", "/api/v1/pods/x", nil, 404, notFound},
		{admin, "DELETE", "/api/v1/pods/x/status", nil, 404, notFound},
		{admin, "GET", "/apis/apps/v2", nil, 404, notFound},
		{admin, "GET", "/apis/foo/v1/bars", nil, 404, plain},
		{admin, "POST", "/api/v1/pods", nil, 405, notAllowed},
		{admin, "PUT", "/api/v1/namespaces/default/pods", nil, 405, notAllowed},
		{admin, "POST", "/api/v1/namespaces/default/pods/x", nil, 405, notAllowed},
		{admin, "DELETE", "/api/v1/pods", nil, 405, notAllowed},
		{admin, "FOO", "/api/v1/namespaces/default/pods", nil, 405, notAllowed},
		{admin, "GET", "/api/v1/namespaces/default", http.Header{"Accept": {"foo/bar"}}, 406,
			"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{admin, "PATCH", "/api/v1/namespaces/default", http.Header{"Content-Type": {"application/json"}}, 415, "415: Unsupported Media Type"},
		{admin, "GET", "/api/v1/namespaces/default/pods?timeout=x", nil, 400, `invalid timeout specified in the request URL - time: invalid duration "x"`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, config.Host+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != nil {
			request.Header = c.header
		}
		response, err := c.client.Do(request)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		var status metav1.Status
		message := string(body)
		if json.Unmarshal(body, &status) == nil {
			message = status.Message
			if int(status.Code) != response.StatusCode {
				t.Errorf("%s %s: code %d in a %d", c.method, c.path, status.Code, response.StatusCode)
			}
		}
		if response.StatusCode != c.code || message != c.message {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, response.StatusCode, message, c.code, c.message)
		}
		if response.Header.Get("Audit-Id") == "" {
			t.Errorf("%s %s: no Audit-Id", c.method, c.path)
		}
	}
}

// TestPanic shows that a panic reaches neither the client nor other requests.
func TestPanic(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	handler := s.recoverPanic(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("secret")) }))
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/x", nil))
	if recorder.Code != http.StatusInternalServerError || strings.Contains(recorder.Body.String(), "secret") {
		t.Errorf("got %d %q", recorder.Code, recorder.Body)
	}
}
