package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func ensure(t *testing.T, o Options) *TLS {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	p, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve answers every request with the caller's common name, and returns the
// port.
func serve(t *testing.T, p *TLS) int {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", p.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) == 0 {
				io.WriteString(w, "nobody")
				return
			}
			leaf := r.TLS.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{Roots: p.ClientCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			if err != nil {
				io.WriteString(w, "unknown authority")
				return
			}
			io.WriteString(w, leaf.Subject.CommonName+" "+strings.Join(leaf.Subject.Organization, ","))
		}),
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// call sends a request with the credentials of a kubeconfig file.
func call(t *testing.T, kubeconfig string) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	answer, err := client.Get(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		want := os.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		if !info.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(dir, path)
			found[name] = string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFirstStartAndRestart(t *testing.T) {
	dir := t.TempDir()
	options := Options{Dir: dir, BindAddress: net.IPv4zero, AdvertiseAddress: net.IPv4(192, 0, 2, 7), ServiceIPs: []net.IP{net.IPv4(10, 0, 0, 1)}, SANs: []string{"api.example.org", "192.0.2.8"}}
	p := ensure(t, options)
	port := serve(t, p)
	kubeconfig, err := p.WriteAdminKubeconfig(port)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, kubeconfig); got != "kubernetes-admin system:masters" {
		t.Errorf("the administrator is %q", got)
	}
	first := files(t, dir)
	if len(first) != 5 {
		t.Errorf("files %v", first)
	}
	certificate, _ := p.serving.certificate()
	host, _ := os.Hostname()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "192.0.2.7", "192.0.2.8", "10.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "api.example.org", host} {
		if err := certificate.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}

	again := ensure(t, options)
	if _, err := again.WriteAdminKubeconfig(port); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, dir) {
		if data != first[name] {
			t.Errorf("%s changed over a restart", name)
		}
	}

	options.SANs = []string{"other.example.org"}
	renamed := ensure(t, options)
	after := files(t, dir)
	if after["pki/ca.crt"] != first["pki/ca.crt"] || after["pki/serving.pem"] == first["pki/serving.pem"] {
		t.Error("another name must change the serving certificate and not the authority")
	}
	certificate, _ = renamed.serving.certificate()
	if err := certificate.Leaf.VerifyHostname("other.example.org"); err != nil {
		t.Error(err)
	}
}

func TestAdminKubeconfigFollowsTheServer(t *testing.T) {
	tests := []struct {
		bind net.IP
		want string
	}{
		{nil, "https://127.0.0.1:6443"},
		{net.IPv4zero, "https://127.0.0.1:6443"},
		{net.IPv6zero, "https://127.0.0.1:6443"},
		{net.IPv4(192, 0, 2, 1), "https://192.0.2.1:6443"},
		{net.ParseIP("2001:db8::1"), "https://[2001:db8::1]:6443"},
	}
	dir := t.TempDir()
	for _, test := range tests {
		p := ensure(t, Options{Dir: dir, BindAddress: test.bind})
		file, err := p.WriteAdminKubeconfig(6443)
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			t.Fatal(err)
		}
		if config.Host != test.want {
			t.Errorf("bound to %s: server %s, want %s", test.bind, config.Host, test.want)
		}
	}
}

func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	p := ensure(t, Options{Dir: dir, Now: now})
	kubeconfig, err := p.WriteAdminKubeconfig(6443)
	if err != nil {
		t.Fatal(err)
	}
	admin, _ := os.ReadFile(kubeconfig)
	first, _ := p.serving.certificate()

	offset.Store(int64(leafLife * 6 / 10))
	if kept, _ := p.serving.certificate(); !kept.Leaf.Equal(first.Leaf) {
		t.Error("renewed with 40% of its life left")
	}
	offset.Store(int64(leafLife * 8 / 10))
	renewed, _ := p.serving.certificate()
	if renewed.Leaf.Equal(first.Leaf) {
		t.Error("not renewed with 20% of its life left")
	}
	if stored, err := tls.LoadX509KeyPair(filepath.Join(dir, "pki/serving.pem"), filepath.Join(dir, "pki/serving.pem")); err != nil || !stored.Leaf.Equal(renewed.Leaf) {
		t.Error("the renewed certificate was not kept", err)
	}
	if _, err := p.WriteAdminKubeconfig(6443); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(kubeconfig); bytes.Equal(now, admin) {
		t.Error("the administrator's certificate was not renewed")
	}

	// A disk that can't be written must not end a server that still has a
	// valid certificate.
	offset.Store(int64(leafLife * 16 / 10))
	if err := os.RemoveAll(filepath.Join(dir, "pki")); err != nil {
		t.Fatal(err)
	}
	if kept, err := p.serving.certificate(); err != nil || !kept.Leaf.Equal(renewed.Leaf) {
		t.Error("the old certificate must stay when it can't be renewed:", err)
	}

	old := t.TempDir()
	ensure(t, Options{Dir: old})
	offset.Store(int64(authorityLife + time.Hour))
	if _, err := Ensure(t.Context(), Options{Dir: old, Now: now, Logger: quiet()}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("an expired authority: %v", err)
	}
}

func TestDamage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(dir string) error
		want   string // in the error; empty: it heals
	}{
		{"authority emptied", func(dir string) error { return os.Truncate(filepath.Join(dir, "ca.crt"), 0) }, "restore both files from a backup, or remove"},
		{"authority cut", func(dir string) error { return os.Truncate(filepath.Join(dir, "ca.crt"), 100) }, "restore both files from a backup, or remove"},
		{"key emptied", func(dir string) error { return os.Truncate(filepath.Join(dir, "ca.key"), 0) }, "restore both files from a backup, or remove"},
		{"key missing", func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) }, "restore both files from a backup, or remove"},
		{"another key", func(dir string) error {
			key, err := newKey()
			if err != nil {
				return err
			}
			data, err := encodeKey(key)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "ca.key"), data, 0o600)
		}, "private key does not match public key"},
		{"crash between key and certificate", func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) }, ""},
		{"serving certificate cut", func(dir string) error { return os.Truncate(filepath.Join(dir, "serving.pem"), 300) }, ""},
		{"serving certificate missing", func(dir string) error { return os.Remove(filepath.Join(dir, "serving.pem")) }, ""},
		{"all gone", func(dir string) error { return os.RemoveAll(dir) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, Options{Dir: dir})
			if err := test.damage(filepath.Join(dir, "pki")); err != nil {
				t.Fatal(err)
			}
			p, err := Ensure(t.Context(), Options{Dir: dir, Logger: quiet()})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want an error with %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kubeconfig, err := p.WriteAdminKubeconfig(serve(t, p))
			if err != nil {
				t.Fatal(err)
			}
			if got := call(t, kubeconfig); got != "kubernetes-admin system:masters" {
				t.Errorf("the administrator is %q", got)
			}
		})
	}
}

func TestConcurrentStart(t *testing.T) {
	for name, shared := range map[string]Shared{"one directory": nil, "one directory and database": &memory{}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			authorities := start(t, 8, func(int) Options { return Options{Dir: dir, Shared: shared} })
			loaded := ensure(t, Options{Dir: dir, Shared: shared})
			for _, a := range authorities {
				if !a.authority.cert.Equal(loaded.authority.cert) {
					t.Fatal("two servers have different authorities")
				}
			}
		})
	}
}

// start calls Ensure n times at once.
func start(t *testing.T, n int, options func(i int) Options) []*TLS {
	t.Helper()
	started := make([]*TLS, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			o := options(i)
			o.Logger = quiet()
			var err error
			if started[i], err = Ensure(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return started
}

// memory is [Shared] for tests.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *memory) LoadOrStore(_ context.Context, name string, value func() ([]byte, error)) ([]byte, error) {
	m.mu.Lock()
	kept := m.values[name]
	m.mu.Unlock()
	if kept != nil {
		return kept, nil
	}
	made, err := value()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	if m.values[name] == nil {
		m.values[name] = made
	}
	return m.values[name], nil
}

func TestSharedAuthority(t *testing.T) {
	root, shared := t.TempDir(), &memory{}
	dirs := []string{filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "c")}
	servers := start(t, len(dirs), func(i int) Options { return Options{Dir: dirs[i], Shared: shared} })
	// The kubeconfig of one server gets its holder into the others.
	for i, p := range servers {
		kubeconfig, err := p.WriteAdminKubeconfig(serve(t, servers[(i+1)%len(servers)]))
		if err != nil {
			t.Fatal(err)
		}
		if got := call(t, kubeconfig); got != "kubernetes-admin system:masters" {
			t.Errorf("the administrator is %q", got)
		}
	}
	// The files alone are enough to go on, and a database that has no
	// authority yet takes that of the first server.
	alone := ensure(t, Options{Dir: dirs[1]})
	moved := ensure(t, Options{Dir: dirs[1], Shared: &memory{}})
	if !alone.authority.cert.Equal(servers[0].authority.cert) || !moved.authority.cert.Equal(servers[0].authority.cert) {
		t.Error("the authority changed")
	}
	stranger := t.TempDir()
	ensure(t, Options{Dir: stranger})
	_, err := Ensure(t.Context(), Options{Dir: stranger, Shared: shared, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "is not the certificate authority of this database") {
		t.Errorf("a directory of another cluster: %v", err)
	}
	shared.values["ca.pem"] = []byte("damaged")
	_, err = Ensure(t.Context(), Options{Dir: dirs[0], Shared: shared, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "kept in the database can't be used") {
		t.Errorf("a damaged authority in the database: %v", err)
	}
}

func TestUserServingCertificate(t *testing.T) {
	theirs, err := newAuthority("howdah-ca", must(newKey()), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	dir, bring := t.TempDir(), t.TempDir()
	certFile, keyFile := filepath.Join(bring, "tls.crt"), filepath.Join(bring, "tls.key")
	write := func(name string, withAuthority bool) *x509.Certificate {
		certPEM, keyPEM, err := theirs.issue(x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if err != nil {
			t.Fatal(err)
		}
		if withAuthority {
			certPEM = append(certPEM, theirs.certPEM...)
		}
		for file, data := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
			if err := replace(file, data); err != nil {
				t.Fatal(err)
			}
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	var offset atomic.Int64
	options := Options{Dir: dir, CertFile: certFile, KeyFile: keyFile, Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }}

	for _, withAuthority := range []bool{true, false} {
		write("one.example.org", withAuthority)
		p := ensure(t, options)
		kubeconfig, err := p.WriteAdminKubeconfig(serve(t, p))
		if err != nil {
			t.Fatal(err)
		}
		// The name is not the address of the kubeconfig, and the authority is unknown to the system.
		if got := call(t, kubeconfig); got != "kubernetes-admin system:masters" {
			t.Errorf("the administrator is %q", got)
		}
	}

	p := ensure(t, options)
	changed := write("two.example.org", true)
	offset.Add(int64(recheck))
	if got, _ := p.serving.certificate(); !got.Leaf.Equal(changed) {
		t.Error("the changed certificate was not loaded")
	}
	if err := os.WriteFile(keyFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	offset.Add(int64(recheck))
	if got, err := p.serving.certificate(); err != nil || !got.Leaf.Equal(changed) {
		t.Error("the old certificate must stay while the files don't fit:", err)
	}
	if _, err := Ensure(t.Context(), options); err == nil || !strings.Contains(err.Error(), "--tls-private-key-file") {
		t.Errorf("a damaged key: %v", err)
	}
	if _, err := Ensure(t.Context(), Options{Dir: dir, CertFile: certFile}); err == nil || !strings.Contains(err.Error(), "must be given together") {
		t.Errorf("a certificate without a key: %v", err)
	}
	last := write("three.example.org", true)
	offset.Add(int64(recheck))
	if got, _ := p.serving.certificate(); !got.Leaf.Equal(last) {
		t.Error("the repaired certificate was not loaded")
	}
}

func TestClientCAFile(t *testing.T) {
	first, second := must(newAuthority("howdah-ca", must(newKey()), time.Now)), must(newAuthority("howdah-ca", must(newKey()), time.Now))
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "client-ca.crt")
	var offset atomic.Int64
	options := Options{Dir: dir, ClientCAFile: file, Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }}
	if _, err := Ensure(t.Context(), options); err == nil || !strings.Contains(err.Error(), "--client-ca-file") {
		t.Errorf("a missing file: %v", err)
	}
	if err := replace(file, first.certPEM); err != nil {
		t.Fatal(err)
	}
	p := ensure(t, options)
	kubeconfig, err := p.WriteAdminKubeconfig(serve(t, p))
	if err != nil {
		t.Fatal(err)
	}
	callAs := func(a *authority) string {
		certPEM, keyPEM, err := a.issue(x509.Certificate{Subject: pkix.Name{CommonName: "jane"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.LoadFromFile(kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		admin := config.AuthInfos[adminName]
		admin.ClientCertificateData, admin.ClientKeyData = certPEM, keyPEM
		name := filepath.Join(t.TempDir(), "kubeconfig")
		if err := clientcmd.WriteToFile(*config, name); err != nil {
			t.Fatal(err)
		}
		return call(t, name)
	}
	if got := callAs(first); got != "jane " {
		t.Errorf("a user of --client-ca-file is %q", got)
	}
	if got := callAs(p.authority); got != "jane " {
		t.Errorf("a user of our authority is %q", got)
	}
	// As with kube-apiserver the handshake succeeds and authentication decides.
	if got := callAs(second); got != "unknown authority" && got != "nobody" {
		t.Errorf("a stranger is %q", got)
	}
	if err := replace(file, append(bytes.Clone(first.certPEM), second.certPEM...)); err != nil {
		t.Fatal(err)
	}
	offset.Add(int64(recheck))
	if got := callAs(second); got != "jane " {
		t.Errorf("a user of the changed --client-ca-file is %q", got)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Servers are front proxies by one authority, which is not that of clients.
func TestOwnFrontProxy(t *testing.T) {
	root, shared := t.TempDir(), &memory{}
	dirs := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	servers := start(t, len(dirs), func(i int) Options {
		return Options{Dir: dirs[i], Shared: shared, ProxyName: "front-proxy-client", Now: now}
	})
	verify := func(certificate *tls.Certificate, roots *x509.CertPool) error {
		_, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	first := must(servers[0].ProxyCertificate())
	if first.Leaf.Subject.CommonName != "front-proxy-client" {
		t.Errorf("the name is %q", first.Leaf.Subject.CommonName)
	}
	if err := verify(first, servers[1].ProxyCAs()); err != nil {
		t.Error("another server doesn't know it:", err)
	}
	if verify(first, servers[0].ClientCAs()) == nil {
		t.Error("it is a client, too")
	}
	if !bytes.Equal(servers[0].ProxyCAsPEM(), servers[1].ProxyCAsPEM()) || bytes.Equal(servers[0].ProxyCAsPEM(), servers[0].ClientCAsPEM()) {
		t.Error("the authorities are not as they should be")
	}
	again := ensure(t, Options{Dir: dirs[0], Shared: shared, ProxyName: "front-proxy-client", Now: now})
	if !must(again.ProxyCertificate()).Leaf.Equal(first.Leaf) {
		t.Error("another certificate after a restart")
	}
	offset.Store(int64(leafLife * 8 / 10))
	if renewed := must(again.ProxyCertificate()); renewed.Leaf.Equal(first.Leaf) || verify(renewed, again.ProxyCAs()) != nil {
		t.Error("not renewed")
	}

	file := filepath.Join(root, "theirs.pem")
	if err := os.WriteFile(file, servers[0].ProxyCAsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := ensure(t, Options{Dir: t.TempDir(), ProxyName: "front-proxy-client", ProxyCAFile: file})
	if mine := must(theirs.ProxyCertificate()); mine != nil || !bytes.Equal(theirs.ProxyCAsPEM(), servers[0].ProxyCAsPEM()) {
		t.Error("an authority of our own beside the user's")
	}
	pair := filepath.Join(dirs[0], "pki", "front-proxy-client.pem")
	brought := ensure(t, Options{Dir: t.TempDir(), ProxyName: "front-proxy-client", ProxyCertFile: pair, ProxyKeyFile: pair})
	if mine := must(brought.ProxyCertificate()); mine == nil || brought.ProxyCAs() != nil {
		t.Error("the user's certificate was not taken")
	}
	if _, err := Ensure(t.Context(), Options{Dir: t.TempDir(), ProxyCertFile: pair, Logger: quiet()}); err == nil || !strings.Contains(err.Error(), "go together") {
		t.Error("a certificate without its key:", err)
	}
}

func TestKubeletClient(t *testing.T) {
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	dir := t.TempDir()
	p := ensure(t, Options{Dir: dir, Now: now})
	first := must(p.KubeletCertificate())
	if name := first.Leaf.Subject.String(); name != "CN=kube-apiserver-kubelet-client,O=system:masters" {
		t.Errorf("it is %s", name)
	}
	verify := func(certificate *tls.Certificate) error {
		_, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: p.ClientCAs(), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	if err := verify(first); err != nil {
		t.Error(err)
	}
	if again := ensure(t, Options{Dir: dir, Now: now}); !must(again.KubeletCertificate()).Leaf.Equal(first.Leaf) {
		t.Error("another certificate after a restart")
	}
	offset.Store(int64(leafLife * 8 / 10))
	if renewed := must(p.KubeletCertificate()); renewed.Leaf.Equal(first.Leaf) || verify(renewed) != nil {
		t.Error("not renewed")
	}
	pair := filepath.Join(dir, "pki", "kubelet-client.pem")
	brought := ensure(t, Options{Dir: t.TempDir(), KubeletCertFile: pair, KubeletKeyFile: pair})
	if !must(brought.KubeletCertificate()).Leaf.Equal(must(p.KubeletCertificate()).Leaf) {
		t.Error("the user's certificate was not taken")
	}
}
