package postgres

import (
	"strings"

	"github.com/howdah/howdah/sql"
)

// queries are the texts of sql/postgres.
type queries struct {
	Commit        string
	State         string
	Revision      string
	Line          string
	Load          string
	Get           string
	Events        string
	Expired       string
	Compact       string
	ForgetBatches string
	Size          string
	Listen        string
	Notify        string
}

// newQueries makes the texts for one schema. line is the expression that names
// the database's line of history.
func newQueries(schema, line string) (*queries, error) {
	q := &queries{}
	return q, sql.Fill(q, "postgres", replacer(schema, line))
}

// replacer fills in names. Everything is qualified by its schema instead of
// found by the search path, which a pooler need not keep. Schemas need no
// quotes, see [schemaOf].
func replacer(schema, line string) *strings.Replacer {
	return strings.NewReplacer("{schema}", schema, "{channel}", channel(schema), "{line}", line)
}

// channel of a store's notifications; channels belong to the whole database.
func channel(schema string) string { return "howdah_" + schema }
