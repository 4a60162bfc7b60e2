package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
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
