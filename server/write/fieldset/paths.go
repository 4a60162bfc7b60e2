package fieldset

import (
	"reflect"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Changes lists the paths that were added or changed, and those that were
// removed, between two objects of the plan's type.
func (p *Plan) Changes(before, after any) (changed, removed []fieldpath.Path, err error) {
	out := &lister{}
	w := walk{sink: out}
	w.visit(p.root, p.skip, reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem())
	if w.unsure {
		return nil, nil, ErrUnsure
	}
	return out.changes, out.removals, nil
}

// A lister collects paths. Path elements are made only for paths that differ.
type lister struct {
	at       []step
	changes  []fieldpath.Path
	removals []fieldpath.Path
}

// A step is a path element in the making.
type step struct {
	name  *string
	text  string
	parts []part
}

func (l *lister) field(f *field)     { l.at = append(l.at, step{name: &f.name}) }
func (l *lister) member(name string) { l.at = append(l.at, step{name: &name}) }
func (l *lister) item(parts []part)  { l.at = append(l.at, step{parts: parts}) }
func (l *lister) element(s string)   { l.at = append(l.at, step{text: s}) }
func (l *lister) leave()             { l.at = l.at[:len(l.at)-1] }
func (l *lister) changed()           { l.changes = append(l.changes, l.path()) }
func (l *lister) removed()           { l.removals = append(l.removals, l.path()) }

func (l *lister) path() fieldpath.Path {
	path := make(fieldpath.Path, len(l.at))
	for i, s := range l.at {
		path[i] = s.pathElement()
	}
	return path
}

func (s step) pathElement() fieldpath.PathElement {
	switch {
	case s.name != nil:
		return fieldpath.PathElement{FieldName: s.name}
	case s.parts != nil:
		key := make(value.FieldList, len(s.parts))
		for i, p := range s.parts {
			key[i].Name = p.name
			if p.isText {
				key[i].Value = value.NewValueInterface(p.text)
			} else {
				key[i].Value = value.NewValueInterface(p.number)
			}
		}
		return fieldpath.PathElement{Key: &key}
	}
	v := value.NewValueInterface(s.text)
	return fieldpath.PathElement{Value: &v}
}

// SetOf is the set of the paths.
func SetOf(paths []fieldpath.Path) *fieldpath.Set {
	return fieldpath.NewSet(slices.Clone(paths)...)
}
