package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/storagetest"
)

// TestPlans: no query reads a table that grows from end to end or sorts it,
// whether the planner has seen the tables empty, full, or not at all.
func TestPlans(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	d, err := Open(t.Context(), endpoint, storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	t.Run("empty", func(t *testing.T) { checkPlans(t, d) })
	exec(t, d, fmt.Sprintf("analyze %[1]s.kv, %[1]s.log", d.schema))
	t.Run("known as empty", func(t *testing.T) { checkPlans(t, d) })
	for i := range 20 {
		batch := storage.Batch{ID: storage.BatchID{Origin: "plans", Sequence: int64(i + 1)}}
		for j := range 500 {
			batch.Writes = append(batch.Writes, storage.Write{Key: fmt.Sprintf("/%d/%d", i, j), Value: []byte("v")})
		}
		if _, err := d.Commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("believed to be empty", func(t *testing.T) { checkPlans(t, d) })
	exec(t, d, fmt.Sprintf("analyze %[1]s.kv, %[1]s.log", d.schema))
	t.Run("full", func(t *testing.T) { checkPlans(t, d) })
}

func exec(t *testing.T, d *Driver, statement string) {
	t.Helper()
	if _, err := d.pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

var (
	scan = regexp.MustCompile(`(?m)(Scan|Scan using \w+) on (kv|log)\b.*$`)
	// found says that a scan is a lookup or a range.
	found = regexp.MustCompile(`\A\n *(Index|TID|Recheck) Cond: `)
)

// endless counts the scans of a plan that go through a whole table or index.
func endless(plan string) (n int) {
	for _, at := range scan.FindAllStringIndex(plan, -1) {
		if !found.MatchString(plan[at[1]:]) {
			n++
		}
	}
	return n
}

func checkPlans(t *testing.T, d *Driver) {
	q := d.queries
	for _, test := range []struct {
		name, query, args string
		indexes           []string
		endless           int
	}{
		{"Get", q.Get, `'\x61'`, []string{"kv_pkey"}, 0},
		{"Load", q.Load, `'\x00', 2000`, []string{"kv_pkey"}, 0},
		{"Events", q.Events, `5, '\x2f', '\x30', 100, true`, []string{"log_pkey", "kv_pkey", "log_previous"}, 0},
		{"Expired", q.Expired, `now(), 100`, []string{"kv_expires"}, 0},
		// From the start of the index up to a limit.
		{"Compact", q.Compact, `now(), 100`, []string{"log_pkey"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := strings.Join(explain(t, d, test.query, test.args), "\n")
			for _, index := range test.indexes {
				if !strings.Contains(plan, index) {
					t.Errorf("doesn't use %s:\n%s", index, plan)
				}
			}
			if endless(plan) > test.endless {
				t.Errorf("reads a whole table:\n%s", plan)
			}
		})
	}
	t.Run("Commit", func(t *testing.T) {
		plan := explainCommit(t, d)
		// What is there, what to replace and what to delete are looked up.
		if endless(plan) > 0 || len(scan.FindAllString(plan, -1)) != 3 {
			t.Errorf("reads a whole table:\n%s", plan)
		}
	})
}

// explain shows the plan that a session of the driver uses for any arguments.
func explain(t *testing.T, d *Driver, query, args string) []string {
	t.Helper()
	conn, err := d.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "prepare planned as "+query); err != nil {
		t.Fatal(err)
	}
	defer conn.Exec(t.Context(), "deallocate planned")
	rows, err := conn.Query(t.Context(), "explain execute planned ("+args+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// explainCommit has the server tell the plans inside the function.
func explainCommit(t *testing.T, d *Driver) string {
	t.Helper()
	var mutex sync.Mutex
	var told strings.Builder
	config := d.config.ConnConfig.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		mutex.Lock()
		defer mutex.Unlock()
		told.WriteString(notice.Message)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{
		"load 'auto_explain'",
		"set auto_explain.log_min_duration = 0",
		"set auto_explain.log_nested_statements = on",
		"set auto_explain.log_level = 'notice'",
		// Without the driver's settings, as behind a pooler.
		"set enable_seqscan = on",
		"set enable_hashjoin = on",
		"set plan_cache_mode = auto",
		"begin",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), d.queries.Commit,
		"explained", int64(1), [][]byte{[]byte("/x"), []byte("/0/0")}, [][]byte{[]byte("v"), nil}, []int64{0, 1}, []int64{0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	mutex.Lock()
	defer mutex.Unlock()
	return told.String()
}
