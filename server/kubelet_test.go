package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server/admission"
)

// TestKubeletsAreCalled reads logs from a kubelet that lets nobody in but clients
// of the cluster's authority.
func TestKubeletsAreCalled(t *testing.T) {
	dir := t.TempDir()
	clients := x509.NewCertPool()
	kubelet := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := r.TLS.PeerCertificates[0]
		if _, err := client.Verify(x509.VerifyOptions{Roots: clients, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s for %s of %s", r.URL.Path, client.Subject.CommonName, client.Subject.Organization)
	}))
	kubelet.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	kubelet.StartTLS()
	defer kubelet.Close()
	authority := filepath.Join(dir, "kubelets.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kubelet.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		options KubeletOptions
		logs    string
		err     string
	}{
		"not verified":         {logs: "/containerLogs/default/web/c for kube-apiserver-kubelet-client of [system:masters]"},
		"verified":             {options: KubeletOptions{CAFile: authority}, logs: "/containerLogs/default/web/c for kube-apiserver-kubelet-client of [system:masters]"},
		"of another authority": {options: KubeletOptions{CAFile: "ca"}, err: "certificate signed by unknown authority"},
		"by no known address":  {options: KubeletOptions{PreferredAddressTypes: []string{"ExternalDNS"}}, err: "no preferred addresses found"},
	} {
		t.Run(name, func(t *testing.T) {
			dataDir := t.TempDir()
			if test.options.CAFile == "ca" { // one that signed nothing of the kubelet's
				other := start(t, Options{DataDir: t.TempDir()})
				test.options.CAFile = filepath.Join(other.options.DataDir, "pki", "ca.crt")
			}
			s := start(t, Options{DataDir: dataDir, Kubelet: test.options, Admission: admission.Options{Disable: []string{"ServiceAccount"}}})
			clients.AppendCertsFromPEM(s.tls.ClientCAsPEM())
			e := extend(t, adminConfig(t, s))
			node, err := e.typed.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "host"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "host.invalid"}, {Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
			node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(kubelet.Listener.Addr().(*net.TCPAddr).Port)
			if _, err := e.typed.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.typed.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec:       corev1.PodSpec{NodeName: "host", Containers: []corev1.Container{{Name: "c", Image: "example.org/c"}}},
			}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			var logs []byte
			stream, err := e.typed.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{}).Stream(t.Context())
			if err == nil {
				logs, err = io.ReadAll(stream)
				stream.Close()
			}
			switch {
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("%v does not say %q", err, test.err)
			case test.err == "" && (err != nil || string(logs) != test.logs):
				t.Errorf("%s, %v", logs, err)
			}
		})
	}
}

func TestKubeletOptions(t *testing.T) {
	for want, options := range map[string]Options{
		`"InternalAddress" is none of`:  {Kubelet: KubeletOptions{PreferredAddressTypes: []string{"InternalAddress"}}},
		"go together":                   {Kubelet: KubeletOptions{ClientCertFile: "tls.crt"}},
		"kubelet-certificate-authority": {Kubelet: KubeletOptions{CAFile: "/does/not/exist"}},
	} {
		options.DataDir, options.BindAddress = t.TempDir(), net.IPv4(127, 0, 0, 1)
		s, err := New(options)
		if err == nil {
			err = s.Start(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
