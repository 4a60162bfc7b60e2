// Package sql owns the queries of the store, one subject a file and the same
// file names for each engine.
//
// A query starts with a line "-- name: Name". A driver collects the queries it
// runs in a struct of strings and has [Fill] set them.
package sql

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Fill sets each string field of the struct that into points to, from the
// query of the same name and the engine ("postgres" or "sqlite"). A field
// without a query or a query without a field is an error. The replacer fills in
// what a query cannot take as a parameter, such as the schema.
func Fill(into any, engine string, replacer *strings.Replacer) error {
	queries, err := parse(engine)
	if err != nil {
		return err
	}
	fields := reflect.ValueOf(into).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		text, ok := queries[name]
		if !ok {
			return fmt.Errorf("sql/%s has no query %q", engine, name)
		}
		fields.Field(i).SetString(replacer.Replace(text))
		delete(queries, name)
	}
	for name := range queries {
		return fmt.Errorf("nothing uses query %q of sql/%s", name, engine)
	}
	return nil
}

const nameMark = "-- name: "

func parse(engine string) (map[string]string, error) {
	entries, err := fs.ReadDir(files, engine)
	if err != nil {
		return nil, fmt.Errorf("queries of %q: %w", engine, err)
	}
	queries := map[string]string{}
	for _, entry := range entries {
		file := path.Join(engine, entry.Name())
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		name := ""
		for line := range strings.Lines(string(content)) {
			if rest, ok := strings.CutPrefix(line, nameMark); ok {
				name = strings.TrimSpace(rest)
				if _, twice := queries[name]; twice {
					return nil, fmt.Errorf("sql/%s: query %q stands there twice", file, name)
				}
				queries[name] = ""
				continue
			}
			if strings.HasPrefix(line, "--") || strings.TrimSpace(line) == "" {
				continue
			}
			if name == "" {
				return nil, fmt.Errorf("sql/%s: text before the first %q line", file, strings.TrimSpace(nameMark))
			}
			queries[name] += line
		}
	}
	for name, text := range queries {
		queries[name] = strings.TrimSuffix(strings.TrimSpace(text), ";")
	}
	return queries, nil
}
