package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/oidc/oidctest"
)

// dial opens a TLS connection to the server as nobody.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(adminConfig(t, s).CAData)
	conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestConnectionAttacks is one server against clients that mean it no good.
func TestConnectionAttacks(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir(), Serving: ServingOptions{MaxStreams: 7, StrictTransport: []string{"max-age=60", "preload"}}})
	admin := adminConfig(t, s)
	alive := func() {
		t.Helper()
		if _, err := adminClient(t, s).CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			t.Error("the server no longer answers:", err)
		}
	}

	// Half a million bytes of headers are answered like none, over both
	// protocols; more than a million are not read.
	for _, protocol := range []string{"http/1.1", "h2"} {
		config := rest.CopyConfig(admin)
		config.NextProtos = []string{protocol}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			t.Fatal(err)
		}
		for size, want := range map[int]int{500_000: http.StatusOK, 1_500_000: http.StatusRequestHeaderFieldsTooLarge} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin.Host+"/version", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range size / 1000 {
				request.Header.Add(fmt.Sprintf("X-Padding-%d", i), strings.Repeat("x", 980))
			}
			answer, err := client.Do(request)
			if err != nil {
				// Reading may end before the client has sent it all.
				if want == http.StatusOK {
					t.Errorf("%s, %d bytes: %v", protocol, size, err)
				}
				continue
			}
			if answer.StatusCode != want || answer.Header.Get("Strict-Transport-Security") != "max-age=60; preload" && want == http.StatusOK {
				t.Errorf("%s, %d bytes: %s, %v", protocol, size, answer.Status, answer.Header)
			}
			answer.Body.Close()
		}
		client.CloseIdleConnections()
		alive()
	}

	// Bodies that drip in end with the request's time.
	for _, path := range []string{"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/api/v1/namespaces/default/configmaps"} {
		config := rest.CopyConfig(admin)
		for _, protocol := range []string{"http/1.1", "h2"} {
			config.NextProtos = []string{protocol}
			client, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			body, drip := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, admin.Host+path+"?timeout=100ms", body)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.ContentLength = 1000
			go func() { _, _ = drip.Write([]byte(`{"apiVersion":`)) }()
			answered := make(chan string, 1)
			go func() {
				answer, err := client.Do(request)
				if err != nil {
					answered <- err.Error()
					return
				}
				defer answer.Body.Close()
				text, _ := io.ReadAll(answer.Body)
				answered <- answer.Status + " " + string(text)
			}()
			select {
			case got := <-answered:
				if !strings.HasPrefix(got, "504") || !strings.Contains(got, "request did not complete within the allotted timeout") {
					t.Errorf("%s %s: %s", protocol, path, got)
				}
			case <-time.After(20 * time.Second):
				t.Errorf("%s %s: the server waits for the body", protocol, path)
			}
			drip.Close()
			client.CloseIdleConnections()
		}
	}
	alive()

	// Headers that drip in keep nobody else from being served, and end.
	var slow []net.Conn
	for range 100 {
		conn := dial(t, s)
		if _, err := io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	alive()
	if testing.Short() {
		return
	}
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(readHeaderTimeout + 20*time.Second))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if ours, ok := err.(net.Error); ok && ours.Timeout() {
			t.Fatal("the server waits for headers")
		}
		if err == nil && answer.StatusCode < 400 {
			t.Errorf("half a request is answered with %s", answer.Status)
		}
	}
	alive()
}

// TestPathTricks: what a path is authorized as is what is served, as in
// kube-apiserver, which neither cleans paths nor redirects.
func TestPathTricks(t *testing.T) {
	issuer := oidctest.New(t)
	s := start(t, Options{DataDir: t.TempDir(), TokenIssuers: configuration.Options{OIDC: configuration.OIDC{
		Set: true, IssuerURL: issuer.URL, ClientID: "us", UsernameClaim: "sub", UsernamePrefix: "-", CAFile: caFile(t, issuer),
	}}})
	finding, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.api.authentication.remote.issuers.Discovered(finding); err != nil {
		t.Fatal(err)
	}
	admin := adminClient(t, s)
	if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "health"},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/livez/*"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "health"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "health"}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "jane"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := issuer.Token(map[string]any{"sub": "jane", "aud": "us"})
	// raw sends a path as it is, which Go's client would not.
	raw := func(path, token string) (int, string) {
		t.Helper()
		conn := dial(t, s)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", path)
		if token != "" {
			fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", token)
		}
		io.WriteString(conn, "\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return answer.StatusCode, string(body)
	}
	eventuallyOK := time.Now().Add(30 * time.Second)
	for {
		status, body := raw("/livez/ping", token)
		if status == http.StatusOK {
			break
		}
		if time.Now().After(eventuallyOK) {
			t.Fatalf("jane's role is not in force: %d %s", status, body)
		}
	}
	for path, want := range map[string]struct{ jane, nobody int }{
		"/livez":                          {200, 200},
		"/livez/ping":                     {200, 403},
		"/metrics":                        {403, 403},
		"//metrics":                       {403, 403},
		"/metrics/":                       {403, 403},
		"/./metrics":                      {403, 403},
		"/livez/../metrics":               {404, 403}, // allowed, and no check has that name
		"/livez/%2e%2e/metrics":           {404, 403},
		"/livez/..%2fmetrics":             {404, 403},
		"/livez%2f..%2fmetrics":           {404, 403},
		"/livez//../metrics":              {404, 403},
		"/livez/..%252fmetrics":           {404, 403},
		"/livez/%5c..%5cmetrics":          {404, 403},
		"//livez":                         {403, 403},
		"/LIVEZ":                          {403, 403},
		"/livez%00":                       {403, 403},
		"/livez/../api/v1/secrets":        {404, 403},
		"/api/v1/secrets":                 {403, 403},
		"//api/v1/secrets":                {403, 403},
		"/api//v1/secrets":                {403, 403},
		"/api/v1//secrets":                {403, 403},
		"/api/v1/./secrets":               {403, 403},
		"/api%2fv1%2fsecrets":             {403, 403},
		"/api/v1/namespaces/../secrets":   {403, 403},
		"/api/v1/namespaces/x%2f..%2f../": {403, 403},
		"/version/../api/v1/secrets":      {403, 403},
	} {
		for who, c := range map[string]struct {
			token string
			want  int
		}{"jane": {token, want.jane}, "nobody": {"", want.nobody}} {
			status, body := raw(path, c.token)
			if status != c.want {
				t.Errorf("%s: %s gets %d, want %d: %.200s", path, who, status, c.want, body)
			}
			if strings.Contains(body, "# HELP") || strings.Contains(body, "SecretList") {
				t.Errorf("%s: %s gets what is not theirs", path, who)
			}
		}
	}
}

// caFile holds what vouches for an issuer.
func caFile(t *testing.T, issuer *oidctest.Issuer) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(name, []byte(issuer.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
