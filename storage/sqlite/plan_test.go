package sqlite_test

import (
	stdsql "database/sql"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/howdah/howdah/sql"
)

// TestPlans: no query but the load reads a table that grows from end to end.
func TestPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "howdah.db")
	open(t, path)
	db := database(t, path)
	var q struct {
		Begin, Commit, Rollback                   string
		Batch, Current, LogCreate, LogReplace     string
		Insert, Update, Delete, Advance, Remember string
		State, Load, Get, Events, Expired         string
		Cut, Drop                                 string
		Compacted, ForgetBatches, Size            string
	}
	must(t, sql.Fill(&q, "sqlite", strings.NewReplacer()))
	whole := regexp.MustCompile(`SCAN (kv|log|l|n)\b`)
	for name, test := range map[string]struct {
		query string
		want  []string
	}{
		"Current":    {q.Current, []string{"sqlite_autoindex_kv_1 (key=?)"}},
		"LogReplace": {q.LogReplace, []string{"sqlite_autoindex_kv_1 (key=?)"}},
		"Update":     {q.Update, []string{"sqlite_autoindex_kv_1 (key=?)"}},
		"Delete":     {q.Delete, []string{"sqlite_autoindex_kv_1 (key=?)"}},
		"Get":        {q.Get, []string{"sqlite_autoindex_kv_1 (key=?)"}},
		"Events":     {q.Events, []string{"SEARCH l USING INTEGER PRIMARY KEY (rowid>?)", "sqlite_autoindex_kv_1 (key=?)", "SEARCH n USING INDEX log_previous (previous=?)"}},
		"Expired":    {q.Expired, []string{"kv_expires"}},
		"Drop":       {q.Drop, []string{"SEARCH log USING INTEGER PRIMARY KEY (rowid<?)"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := explain(t, db, test.query)
			for _, want := range test.want {
				if !strings.Contains(plan, want) {
					t.Errorf("lacks %q:\n%s", want, plan)
				}
			}
			if whole.MatchString(plan) || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("reads or sorts a whole table:\n%s", plan)
			}
		})
	}
}

func explain(t *testing.T, db *stdsql.DB, query string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "explain query plan "+query, make([]any, parameters(query))...)
	must(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		must(t, rows.Scan(&id, &parent, &unused, &detail))
		plan.WriteString(detail + "\n")
	}
	must(t, rows.Err())
	return plan.String()
}

var parameter = regexp.MustCompile(`\?\d*`)

func parameters(query string) int {
	seen, anonymous := map[string]bool{}, 0
	for _, p := range parameter.FindAllString(query, -1) {
		if p == "?" {
			anonymous++
		}
		seen[p] = true
	}
	delete(seen, "?")
	return len(seen) + anonymous
}

// database opens the file beside the driver, as an administrator's shell would.
func database(t *testing.T, path string) *stdsql.DB {
	t.Helper()
	location := url.URL{Scheme: "file", Path: path}
	db, err := stdsql.Open("sqlite", location.String())
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}
