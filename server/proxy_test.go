package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// TestProxies reaches a real server by the address of a Service's endpoint, a
// pod and a node, also for an upgraded connection.
func TestProxies(t *testing.T) {
	ip := reachable(t)
	s := start(t, Options{DataDir: t.TempDir()})
	e := extend(t, adminConfig(t, s))
	web := listenAt(t, ip, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "echo" {
			echo(w)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}))
	web.Start()
	port := web.Listener.Addr().(*net.TCPAddr).Port

	if _, err := e.typed.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Log(err)
	}
	pod, err := e.typed.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.PodSpec{NodeName: "host", Containers: []corev1.Container{{Name: "c", Image: "example.org/c"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip.String(), []corev1.PodIP{{IP: ip.String()}}
	if _, err := e.typed.CoreV1().Pods("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	e.expose(t, "web", web, "http", &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web"})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "host"}}
	if node, err = e.typed.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip.String()}}
	if _, err := e.typed.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	for name, path := range map[string]string{
		"service": "/api/v1/namespaces/default/services/http:web:http/proxy",
		"pod":     fmt.Sprintf("/api/v1/namespaces/default/pods/http:web:%d/proxy", port),
		"node":    fmt.Sprintf("/api/v1/nodes/http:host:%d/proxy", port),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := e.typed.CoreV1().RESTClient().Post().AbsPath(path, "some", "path").Param("a", "b").Body([]byte("hello")).DoRaw(t.Context())
			if err != nil || string(got) != "POST /some/path?a=b hello" {
				t.Errorf("%s, %v", got, err)
			}
			upgraded(t, e.config, path+"/echo")
		})
	}
}

// echo upgrades a connection and sends back what comes.
func echo(w http.ResponseWriter) {
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprint(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(connection, buffer)
}

// upgraded speaks over an upgraded connection.
func upgraded(t *testing.T, config *rest.Config, path string) {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig.NextProtos = []string{"http/1.1"}
	dialer := &net.Dialer{}
	raw, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(config.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName, _, _ = net.SplitHostPort(raw.RemoteAddr().String())
	}
	connection := tls.Client(raw, tlsConfig)
	defer connection.Close()
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", path)
	r := bufio.NewReader(connection)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	fmt.Fprintln(connection, "ping")
	if line, err := r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("%q, %v", line, err)
	}
}
