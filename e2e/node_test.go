package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

var realNode = flag.Bool("node", false, "run a kubelet with containerd (needs root on Linux, containerd, runc, CNI plugins and a static busybox)")

// TestNode joins a real kubelet with a bootstrap token, and runs containers.
func TestNode(t *testing.T) {
	if !*realNode {
		t.Skip("it makes this machine a node: make node")
	}
	host := must(utilnet.ChooseHostInterface())(t)
	s := newServer(t, "", "--bind-address", "0.0.0.0", "--advertise-address", host.String(), "--enable-bootstrap-token-auth")
	n := &node{server: s, host: host, dir: t.TempDir()}
	n.containerd()
	n.load("docker.io/howdah/pause:e2e", "sleep", "2000000000")
	n.load("docker.io/howdah/busybox:e2e", "sh")
	c := &cluster{servers: []*server{s}, environment: map[string]string{"ADVERTISED": fmt.Sprintf("https://%s:%d", host, s.port)}}
	t.Run("before", func(t *testing.T) { c.run(t, "testdata/node/before/*.txtar") })
	n.kubelet()
	n.proxy()
	c.run(t, "testdata/node/*.txtar")
}

// A node is a machine's kubelet and container runtime, with everything they keep
// in a directory of their own.
type node struct {
	*server
	host net.IP
	dir  string
}

func (n *node) write(name, text string) string {
	n.t.Helper()
	file := filepath.Join(n.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// run starts a program that is stopped when the test ends.
func (n *node) run(name string, arguments ...string) *lockedBuffer {
	n.t.Helper()
	log := &lockedBuffer{}
	process := exec.Command(name, arguments...)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		process.Wait()
		if n.t.Failed() {
			n.t.Logf("log of %s:\n%s", name, log.tail(16<<10))
		}
	})
	return log
}

func (n *node) socket() string { return filepath.Join(n.dir, "containerd.sock") }

func (n *node) containerd() {
	n.t.Helper()
	n.t.Cleanup(n.clean)
	cni := filepath.Join(n.dir, "cni")
	if err := os.Mkdir(cni, 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.write("cni/10.conflist", `{"cniVersion": "0.4.0", "name": "howdah-e2e", "plugins": [
		{"type": "bridge", "bridge": "howdah-e2e", "isGateway": true, "hairpinMode": true,
		 "ipam": {"type": "host-local", "dataDir": "`+cni+`/leases", "ranges": [[{"subnet": "10.213.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`)
	plugins := "/opt/cni/bin"
	if _, err := os.Stat(plugins); err != nil {
		plugins = "/usr/lib/cni" // Debian's
	}
	config := n.write("containerd.toml", fmt.Sprintf(`
version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/howdah/pause:e2e"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
`, filepath.Join(n.dir, "root"), filepath.Join(n.dir, "state"), n.socket(), plugins, cni))
	log := n.run("containerd", "--config", config)
	if err := log.seen(regexp.MustCompile("containerd successfully booted"), startTimeout); err != nil {
		n.t.Fatal(err)
	}
}

// load gives containerd an image that has nothing but the machine's busybox,
// which has to be a static one (Debian's package busybox-static).
func (n *node) load(name string, command ...string) {
	n.t.Helper()
	program := must(os.ReadFile(must(exec.LookPath("busybox"))(n.t)))(n.t)
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	add := func(header tar.Header, content []byte) {
		header.Mode, header.Size = 0o755, int64(len(content))
		if err := files.WriteHeader(&header); err != nil {
			n.t.Fatal(err)
		}
		must(files.Write(content))(n.t)
	}
	for _, dir := range []string{"bin", "tmp"} {
		add(tar.Header{Name: dir, Typeflag: tar.TypeDir}, nil)
	}
	add(tar.Header{Name: "bin/busybox"}, program)
	for _, applet := range []string{"sh", "sleep", "echo", "cat", "ls", "env", "test", "httpd", "tar"} {
		add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	if err := files.Close(); err != nil {
		n.t.Fatal(err)
	}

	type object map[string]any
	config := must(json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": command, "Env": []string{"PATH=/bin"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	}))(n.t)
	manifest := must(json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}}))(n.t)
	var archive bytes.Buffer
	files = tar.NewWriter(&archive)
	add(tar.Header{Name: "config.json"}, config)
	add(tar.Header{Name: "layer.tar"}, layer.Bytes())
	add(tar.Header{Name: "manifest.json"}, manifest)
	if err := files.Close(); err != nil {
		n.t.Fatal(err)
	}
	load := exec.Command("ctr", "--address", n.socket(), "--namespace", "k8s.io", "image", "import", "-")
	load.Stdin = &archive
	if output, err := load.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", load, err, output)
	}
}

// clean ends what containerd leaves when it stops: containers go on running.
func (n *node) clean() {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range processes {
		if line, _ := os.ReadFile(file); strings.Contains(string(line), "containerd-shim") && strings.Contains(string(line), n.socket()) {
			var pid int
			fmt.Sscanf(file, "/proc/%d/cmdline", &pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], n.dir) {
			syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
	exec.Command("ip", "link", "delete", "howdah-e2e").Run()
}

// kubelet starts one that joins by a bootstrap token, as on a new machine.
func (n *node) kubelet() {
	n.t.Helper()
	program := must(buildKubelet())(n.t)
	bootstrap := n.write("bootstrap.kubeconfig", fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: howdah, cluster: {server: "https://%s:%d", certificate-authority: "%s/pki/ca.crt"}}]
users: [{name: bootstrap, user: {token: abcdef.0123456789abcdef}}]
contexts: [{name: bootstrap, context: {cluster: howdah, user: bootstrap}}]
current-context: bootstrap
`, n.host, n.port, n.server.dir))
	config := n.write("kubelet.yaml", fmt.Sprintf(`
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "%s/pki/ca.crt"}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
rotateCertificates: true
serverTLSBootstrap: true
syncFrequency: 5s
containerRuntimeEndpoint: "unix://%s"
evictionHard: {memory.available: 10Mi, nodefs.available: 1%%, imagefs.available: 1%%}
`, n.server.dir, n.socket()))
	n.run(program, "--config", config, "--bootstrap-kubeconfig", bootstrap, "--kubeconfig", filepath.Join(n.dir, "kubelet.kubeconfig"),
		"--cert-dir", filepath.Join(n.dir, "pki"), "--root-dir", filepath.Join(n.dir, "kubelet"), "--hostname-override", "real-node", "--node-ip", n.host.String())
	client := must(kubernetes.NewForConfig(n.config()))(n.t)
	err := wait.PollUntilContextTimeout(n.t.Context(), time.Second, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		node, err := client.CoreV1().Nodes().Get(ctx, "real-node", metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}), nil
	})
	if err != nil {
		n.t.Fatal("the node did not become ready:", err)
	}
}

// proxy starts a kube-proxy under the name that has its role by default.
func (n *node) proxy() {
	n.t.Helper()
	program := must(buildProxy())(n.t)
	certificate, key := n.issue("system:kube-proxy")
	kubeconfig := n.write("proxy.kubeconfig", fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: howdah, cluster: {server: "https://%s:%d", certificate-authority: "%s/pki/ca.crt"}}]
users: [{name: proxy, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: proxy, context: {cluster: howdah, user: proxy}}]
current-context: proxy
`, n.host, n.port, n.server.dir, n.write("proxy.crt", string(certificate)), n.write("proxy.key", string(key))))
	// Pods on one bridge answer each other directly, behind the back of who
	// translated the address; hence --masquerade-all.
	n.t.Cleanup(func() { exec.Command(program, "--cleanup").Run() })
	n.run(program, "--kubeconfig", kubeconfig, "--proxy-mode", "iptables", "--masquerade-all", "--conntrack-max-per-core", "0",
		"--hostname-override", "real-node", "--cluster-cidr", "10.213.0.0/24")
}
