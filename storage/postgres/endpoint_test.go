package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/migrations"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/storagetest"
)

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name, endpoint, want string
		unavailable          bool
	}{
		{"an unreadable endpoint", "postgres://host:port", "endpoint", false},
		{"a schema that needs quotes", `host=x search_path='Strange Name'`, "choose another name", false},
		{"no server", "postgres://127.0.0.1:1/x?connect_timeout=1", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), test.endpoint, storagetest.Logger(t))
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, storage.ErrUnavailable) != test.unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOpenFrozen: a server that accepts and says nothing is noticed.
func TestOpenFrozen(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	defer server.Resume()
	begin := time.Now()
	_, err := postgres.Open(t.Context(), server.Store()+"&connect_timeout=1", storagetest.Logger(t))
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("open: %v, want %v", err, storage.ErrUnavailable)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to give up", took)
	}
}

// TestSeveralHosts: of the hosts of an endpoint the one that takes writes serves.
func TestSeveralHosts(t *testing.T) {
	primary, replica := storagetest.StartPostgres(t, storagetest.PostgresOptions{}), storagetest.StartPostgres(t,
		storagetest.PostgresOptions{Settings: map[string]string{"default_transaction_read_only": "on"}})
	there, err := url.Parse(primary.Endpoint())
	must(t, err)
	here, err := url.Parse(replica.Endpoint())
	must(t, err)
	endpoint := fmt.Sprintf("host=127.0.0.1,127.0.0.1,127.0.0.1 port=1,%s,%s user=postgres dbname=postgres sslmode=disable", here.Port(), there.Port())
	d := open(t, endpoint)
	_, err = d.Commit(t.Context(), storage.Batch{ID: storage.BatchID{Origin: "a", Sequence: 1}, Writes: []storage.Write{{Key: "/a", Value: []byte("v")}}})
	must(t, err)
}

// TestSettings: what the endpoint sets goes before what the driver would set.
func TestSettings(t *testing.T) {
	endpoint := storagetest.Postgres(t) + "&application_name=mine&synchronous_commit=off&statement_timeout=1234"
	open(t, endpoint)
	conn := connect(t, endpoint)
	var n int
	err := conn.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = 'mine' and pid <> pg_backend_pid()").Scan(&n)
	must(t, err)
	if n == 0 {
		t.Error("no connection has the name that the endpoint gives")
	}
}

// TestOrdinaryRole: nothing needs a superuser, and where another role has
// migrated, reading and writing is all that a server needs.
func TestOrdinaryRole(t *testing.T) {
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	admin := connect(t, server.Endpoint())
	exec := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			_, err := admin.Exec(t.Context(), statement)
			must(t, err)
		}
	}
	exec("create role owner login", "create role server login", "create schema store authorization owner")
	as := func(role string) string {
		return strings.Replace(server.Endpoint(), "postgres@", role+"@", 1) + "&search_path=store"
	}
	storagetestState(t, as("owner"))

	exec("grant usage on schema store to server",
		"grant select, insert, update, delete on all tables in schema store to server",
		"grant execute on all functions in schema store to server")
	state := storagetestState(t, as("server"))
	if strings.Count(state.Epoch, ".") != 2 {
		t.Errorf("an ordinary role doesn't see the timeline: epoch %s", state.Epoch)
	}

	_, err := postgres.Open(t.Context(), strings.Replace(as("server"), "search_path=store", "search_path=other", 1), storagetest.Logger(t))
	if err == nil || !strings.Contains(err.Error(), "grant CREATE") || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a role that may not create the schema: %v", err)
	}
}

// storagetestState writes once and returns the state.
func storagetestState(t *testing.T, endpoint string) storage.State {
	t.Helper()
	d := open(t, endpoint)
	_, err := d.Commit(t.Context(), storage.Batch{ID: storage.BatchID{Origin: endpoint, Sequence: 1}, Writes: []storage.Write{{Key: endpoint, Value: []byte("v")}}})
	must(t, err)
	state, err := d.State(t.Context())
	must(t, err)
	return state
}

func TestMigrate(t *testing.T) {
	endpoint, logger := storagetest.Postgres(t), storagetest.Logger(t)
	status := func() []migrations.Status {
		t.Helper()
		list, err := postgres.Migrations(t.Context(), endpoint, logger)
		must(t, err)
		if len(list) == 0 {
			t.Fatal("no migrations")
		}
		return list
	}
	for _, s := range status() {
		if !s.Applied.IsZero() {
			t.Errorf("before: %+v", s)
		}
	}
	for range 2 {
		must(t, postgres.Migrate(t.Context(), endpoint, logger))
		for _, s := range status() {
			if s.Applied.IsZero() {
				t.Errorf("after: %+v", s)
			}
		}
	}

	_, err := connect(t, endpoint).Exec(t.Context(), "insert into migrations (version_id, is_applied) values (99, true)")
	must(t, err)
	if _, err := postgres.Open(t.Context(), endpoint, logger); !errors.Is(err, migrations.ErrNewerSchema) {
		t.Errorf("opening a newer schema: %v", err)
	}
}

func connect(t *testing.T, endpoint string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), endpoint)
	must(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
