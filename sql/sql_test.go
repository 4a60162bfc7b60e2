package sql_test

import (
	"strings"
	"testing"

	"github.com/howdah/howdah/sql"
)

func TestFill(t *testing.T) {
	for _, test := range []struct {
		name, engine string
		into         any
		want         string
	}{
		{"an unknown engine", "oracle", &struct{}{}, `queries of "oracle"`},
		{"a field without a query", "sqlite", &struct{ Missing string }{}, `has no query "Missing"`},
		{"a query without a field", "sqlite", &struct{ State string }{}, "nothing uses query"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := sql.Fill(test.into, test.engine, strings.NewReplacer())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
