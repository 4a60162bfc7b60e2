package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// A server is one howdah process, or the place of one that is stopped.
type server struct {
	t        *testing.T
	dir      string
	endpoint string // PostgreSQL; empty: SQLite
	port     int    // 0 until the first start
	flags    []string
	delay    time.Duration // between SIGTERM and the stop
	process  *exec.Cmd
	log      lockedBuffer
}

// newServer starts a server that is stopped when the test ends.
func newServer(t *testing.T, endpoint string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), endpoint: endpoint, flags: flags}
	s.start()
	t.Cleanup(func() {
		if s.process != nil {
			s.stop()
		}
		if t.Failed() {
			t.Logf("log of the server in %s:\n%s", s.dir, s.log.tail(16<<10))
		}
		if panics := regexp.MustCompile(`(?m)^.*(panic|DATA RACE).*$`).FindAllString(s.log.String(), 5); panics != nil {
			t.Errorf("the server panicked: %q", panics)
		}
		// Each controller does with what upstream's policy lets its account do.
		if refused := regexp.MustCompile(`is forbidden: User \\*"system:(kube-|serviceaccount:kube-system:)[^\n]*`).FindAllString(s.log.String(), 5); refused != nil {
			t.Errorf("the control plane was refused: %q", refused)
		}
	})
	return s
}

var ready = regexp.MustCompile(`ready on port (\d+)`)

// start returns when the server says that it is ready. It keeps its port.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(howdah, append([]string{"server", "--data-dir", s.dir, "--bind-address", "127.0.0.1",
		"--secure-port", strconv.Itoa(s.port), "--datastore-endpoint", s.endpoint, "--log-level", "debug"}, s.flags...)...)
	s.process.Stderr = &s.log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(startTimeout, func() { s.process.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if match := ready.FindStringSubmatch(lines.Text()); match != nil {
			s.port, _ = strconv.Atoi(match[1])
			go io.Copy(io.Discard, stdout)
			return
		}
	}
	err = s.process.Wait()
	s.process = nil
	s.t.Fatalf("the server did not start: %v\n%s", err, s.log.tail(8<<10))
}

// stop asks the server to stop and checks that it does so cleanly.
func (s *server) stop() {
	s.t.Helper()
	s.end(syscall.SIGTERM)
}

// kill ends the server as a crash does.
func (s *server) kill() {
	s.t.Helper()
	s.end(syscall.SIGKILL)
}

func (s *server) end(signal syscall.Signal) {
	s.t.Helper()
	process := s.process
	s.process = nil
	if err := process.Process.Signal(signal); err != nil {
		s.t.Errorf("signal the server: %v", err)
	}
	timer := time.AfterFunc(stopTimeout+s.delay, func() { process.Process.Kill() })
	err := process.Wait()
	if late := !timer.Stop(); late || err != nil && signal == syscall.SIGTERM {
		s.t.Errorf("the server did not stop cleanly on %s: %v", signal, err)
	}
}

func (s *server) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

func (s *server) kubeconfig() string { return filepath.Join(s.dir, "admin.kubeconfig") }

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu      sync.Mutex
	data    bytes.Buffer
	changed chan struct{} // closed at the next write; nil: nobody waits
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.data.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func (b *lockedBuffer) tail(n int) string {
	text := b.String()
	return text[max(0, len(text)-n):]
}

// seen waits until what was written matches.
func (b *lockedBuffer) seen(pattern *regexp.Regexp, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		b.mu.Lock()
		if pattern.Match(b.data.Bytes()) {
			b.mu.Unlock()
			return nil
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("not seen within %s: %q in:\n%s", timeout, pattern, b.tail(4<<10))
		}
	}
}
