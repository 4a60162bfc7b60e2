package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/storagetest"
)

// TestPooler runs the suite through PgBouncer in transaction mode, which takes
// no session settings, keeps no prepared statements and passes no notifications.
func TestPooler(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	pooled := startPgBouncer(t, server)
	storagetest.Driver(t, func(t testing.TB) func() storage.Driver {
		store, err := url.Parse(server.Store())
		if err != nil {
			t.Fatal(err)
		}
		endpoint := pooled + "&search_path=" + store.Query().Get("search_path")
		return func() storage.Driver { return open(t, endpoint) }
	}, storagetest.Traits{})

	t.Run("says once that it polls", func(t *testing.T) {
		var log bytes.Buffer
		var mutex sync.Mutex
		d, err := postgres.Open(t.Context(), pooled, slog.New(slog.NewTextHandler(locked{&mutex, &log}, nil)))
		must(t, err)
		defer d.Close()
		ctx, cancel := context.WithCancel(t.Context())
		wakes := make(chan struct{})
		var listening sync.WaitGroup
		listening.Go(func() {
			d.Listen(ctx, func() {
				select {
				case wakes <- struct{}{}:
				case <-ctx.Done():
				}
			})
		})
		<-wakes
		<-wakes
		cancel()
		listening.Wait()
		mutex.Lock()
		defer mutex.Unlock()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log.String())
		}
	})
}

type locked struct {
	mutex *sync.Mutex
	into  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.into.Write(p)
}

// startPgBouncer returns the endpoint that leads through it.
func startPgBouncer(t *testing.T, server *storagetest.Server) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("PgBouncer is not installed")
	}
	target, err := url.Parse(server.Endpoint())
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	must(t, listener.Close())

	dir, err := os.MkdirTemp("", "howdah-pgbouncer-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config")
	must(t, os.WriteFile(users, []byte(`"postgres" ""`), 0o644))
	must(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
postgres = host=127.0.0.1 port=%s dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
`, target.Port(), port, users), 0o644))
	pooler := exec.Command(program, config)
	pooler.SysProcAttr = &syscall.SysProcAttr{Credential: server.Credential()}
	output, err := pooler.StderrPipe()
	must(t, err)
	must(t, pooler.Start())
	var reading sync.WaitGroup
	var said bytes.Buffer
	reading.Go(func() { _, _ = said.ReadFrom(output) })
	t.Cleanup(func() {
		_ = pooler.Process.Kill()
		reading.Wait()
		_ = pooler.Wait()
		if t.Failed() {
			t.Logf("PgBouncer:\n%s", said.String())
		}
	})

	endpoint := fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable&default_query_exec_mode=exec", port)
	for {
		conn, err := pgx.Connect(t.Context(), endpoint)
		if err == nil {
			conn.Close(t.Context())
			return endpoint
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
