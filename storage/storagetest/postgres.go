package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EndpointVariable names an endpoint to test against instead of a throwaway
// server.
const EndpointVariable = "HOWDAH_TEST_POSTGRES"

// shared is the throwaway server of this test process. Its watchdog stops it
// when the process ends.
var shared = sync.OnceValues(func() (*Server, error) { return start(PostgresOptions{}) })

var stores atomic.Int64

// Postgres returns the endpoint of a fresh, empty store in PostgreSQL. All
// stores of a test process share one throwaway server, unless the environment
// names one.
func Postgres(t testing.TB) (endpoint string) {
	t.Helper()
	schema := fmt.Sprintf("test_%d_%d", os.Getpid(), stores.Add(1))
	if given := os.Getenv(EndpointVariable); given != "" {
		t.Cleanup(func() { dropSchema(given, schema) })
		return withSchema(given, schema)
	}
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropSchema(server.Endpoint(), schema) })
	return withSchema(server.Endpoint(), schema)
}

// dropSchema is a favour to the disk; a server that is gone needs none.
func dropSchema(endpoint, schema string) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, endpoint)
	if err != nil {
		return
	}
	defer conn.Close(ctx)
	_, _ = conn.Exec(ctx, "drop schema if exists "+schema+" cascade")
}

func withSchema(endpoint, schema string) string {
	if !strings.Contains(endpoint, "://") {
		return endpoint + " search_path=" + schema
	}
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	return endpoint + separator + "search_path=" + url.QueryEscape(schema)
}

// PostgresOptions of a server of one's own.
type PostgresOptions struct {
	// Durable leaves fsync on, for measurements.
	Durable bool
	// Settings of postgresql.conf.
	Settings map[string]string
}

// Server is a throwaway PostgreSQL server.
type Server struct {
	bin     string // directory of its programs
	dir     string
	port    int
	options PostgresOptions
	as      *syscall.Credential // nil: ourselves

	postmaster *exec.Cmd
	exited     chan struct{}
	watchdog   io.Closer
}

// StartPostgres starts a server for one test.
func StartPostgres(t testing.TB, options PostgresOptions) *Server {
	t.Helper()
	server, err := start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.watchdog.Close() })
	return server
}

// Endpoint of its database.
func (s *Server) Endpoint() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Store is the endpoint of a fresh, empty store on the server.
func (s *Server) Store() string {
	return withSchema(s.Endpoint(), fmt.Sprintf("test_%d", stores.Add(1)))
}

// Credential of the user that it runs as; nil when that is this process's.
func (s *Server) Credential() *syscall.Credential { return s.as }

const startTimeout = 60 * time.Second

func start(options PostgresOptions) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "howdah-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, options: options, as: as}
	if err := s.initialize(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func (s *Server) initialize() error {
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	if err := s.watch(); err != nil {
		return err
	}
	initdb := s.command("initdb", "--pgdata="+s.data(), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		s.watchdog.Close()
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	// A free port may be taken before the server has it.
	var err error
	for range 5 {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.Start(); err == nil {
			return nil
		}
	}
	s.watchdog.Close()
	return err
}

// Dir holds all that the server keeps on disk.
func (s *Server) Dir() string { return s.data() }

// Dump is what pg_dump writes of all its databases' content.
func (s *Server) Dump() ([]byte, error) {
	return s.command("pg_dump", "--dbname="+s.Endpoint()).Output()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// watch starts a watchdog that stops the server and removes its files once its
// standard input ends: when closed, or when this process has died, however.
func (s *Server) watch() error {
	watchdog := exec.Command("/bin/sh", "-c", `
		trap '' INT TERM HUP
		cat >/dev/null
		while ps -A -o args= | grep -q "[i]nitdb.*$1"; do sleep 0.05; done
		pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && {
			kill -CONT "$pid"; kill -QUIT "$pid"
			while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
		} 2>/dev/null
		rm -rf "$1"`, "watchdog", s.dir)
	watchdog.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := watchdog.StdinPipe()
	if err != nil {
		return err
	}
	if err := watchdog.Start(); err != nil {
		return err
	}
	s.watchdog = closer(func() error {
		input.Close()
		return watchdog.Wait()
	})
	return nil
}

type closer func() error

func (c closer) Close() error { return c() }

// Start starts the server and waits until it answers.
func (s *Server) Start() error {
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": s.dir, "max_connections": "200",
	}
	if !s.options.Durable {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	for name, value := range s.options.Settings {
		args = append(args, "-c", name+"="+value)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.postmaster = s.command("postgres", args...)
	s.postmaster.Stdout, s.postmaster.Stderr = log, log
	// Of its own session: an interrupt at the terminal is the watchdog's to heed.
	s.postmaster.SysProcAttr.Setsid = true
	if err := s.postmaster.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(postmaster *exec.Cmd, exited chan struct{}) {
		_ = postmaster.Wait()
		close(exited)
	}(s.postmaster, s.exited)
	return s.await()
}

func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.Endpoint())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("PostgreSQL ended:\n%s", s.log())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL doesn't answer: %w\n%s", err, s.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) log() []byte {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// Stop ends the server as an administrator would, cutting its connections.
func (s *Server) Stop() error {
	if err := s.postmaster.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	<-s.exited
	return nil
}

// Restart stops the server and starts it.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start()
}

// Kill ends the server with SIGKILL, as a crash would, and waits until nothing
// of it is left that a new one would stumble over.
func (s *Server) Kill() error {
	backends, err := children(s.postmaster.Process.Pid)
	if err != nil {
		return err
	}
	for _, pid := range append([]int{s.postmaster.Process.Pid}, backends...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
	for _, pid := range backends {
		for syscall.Kill(pid, 0) == nil {
			time.Sleep(time.Millisecond)
		}
	}
	return os.Remove(filepath.Join(s.data(), "postmaster.pid"))
}

// Promote makes the server begin a new timeline, as a replica does that takes
// over from a lost primary.
func (s *Server) Promote(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.data(), "standby.signal"), nil, 0o644); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.Endpoint())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "select pg_promote()")
	return err
}

// KillBackends cuts all connections but its own and says how many.
func (s *Server) KillBackends(ctx context.Context) (int, error) {
	conn, err := pgx.Connect(ctx, s.Endpoint())
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	var n int
	err = conn.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
		where pid <> pg_backend_pid() and backend_type = 'client backend'`).Scan(&n)
	return n, err
}

// Pause freezes the server: its connections stay open and nothing answers.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	// The parent first, so that no child is born unnoticed.
	if err := s.postmaster.Process.Signal(signal); err != nil {
		return err
	}
	backends, err := children(s.postmaster.Process.Pid)
	if err != nil {
		return err
	}
	for _, pid := range backends {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// children of a process.
func children(parent int) ([]int, error) {
	output, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for line := range bytes.Lines(output) {
		var pid, ppid int
		if _, err := fmt.Sscan(string(line), &pid, &ppid); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// programs finds the directory of PostgreSQL's programs.
func programs() (string, error) {
	var dirs []string
	if output, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(output)))
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(installed, func(a, b string) int { return version(b) - version(a) })
	dirs = append(dirs, installed...)
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL server found to test with: `make test` installs one; or set %s to an endpoint", EndpointVariable)
}

func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

// unprivileged is whom to run the server as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}
