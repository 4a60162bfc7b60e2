package schemas

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// types has one line a type: its name, the kinds it is the type of
// ("apps/v1/Deployment", comma separated), and itself, separated by tabs.
//
//go:embed types.txt
var types string

// A file finds types in such a text. It refers to the text and copies nothing.
type file struct {
	kinds   map[runtimeschema.GroupVersionKind]string
	encoded map[string]string
}

func openFile(text string) file {
	f := file{kinds: map[runtimeschema.GroupVersionKind]string{}, encoded: map[string]string{}}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		kinds, encoded, _ := strings.Cut(rest, "\t")
		f.encoded[name] = encoded
		for kind := range strings.SplitSeq(kinds, ",") {
			if parts := strings.SplitN(kind, "/", 3); len(parts) == 3 {
				f.kinds[runtimeschema.GroupVersionKind{Group: parts[0], Version: parts[1], Kind: parts[2]}] = name
			}
		}
	}
	return f
}

func (f file) kind(gvk runtimeschema.GroupVersionKind) (name string, ok bool) {
	name, ok = f.kinds[gvk]
	return name, ok
}

func (f file) atom(name string) (schema.Atom, error) {
	encoded, ok := f.encoded[name]
	if !ok {
		return schema.Atom{}, fmt.Errorf("type %q is missing: this build of the program is broken", name)
	}
	var a atom
	if err := json.Unmarshal([]byte(encoded), &a); err != nil {
		return schema.Atom{}, fmt.Errorf("type %q: %w", name, err)
	}
	return a.decode(), nil
}
