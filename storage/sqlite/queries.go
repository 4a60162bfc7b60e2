package sqlite

import (
	"strings"

	"github.com/howdah/howdah/sql"
)

// queries are the texts of sql/sqlite.
type queries struct {
	Begin         string
	Commit        string
	Rollback      string
	Batch         string
	Current       string
	LogCreate     string
	LogReplace    string
	Insert        string
	Update        string
	Delete        string
	Advance       string
	Remember      string
	State         string
	Load          string
	Get           string
	Events        string
	Expired       string
	Cut           string
	Drop          string
	Compacted     string
	ForgetBatches string
	Size          string
}

func newQueries() (*queries, error) {
	q := &queries{}
	return q, sql.Fill(q, "sqlite", strings.NewReplacer())
}
