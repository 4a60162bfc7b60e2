package objects

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"
)

// A plan says how the selectable fields of a resource are read from the bytes
// of its objects.
type plan struct {
	fields []selectable
	// attributes is upstream's function, set when some field has to be computed
	// from the decoded object.
	attributes apistorage.AttrFunc
}

type selectable struct {
	name string
	read func(body []byte) string
}

func (p *plan) find(name string) *selectable {
	for i := range p.fields {
		if p.fields[i].name == name {
			return &p.fields[i]
		}
	}
	return nil
}

// knows says whether every field is one of the plan's.
func (p *plan) knows(names []string) bool {
	for _, name := range names {
		if p.find(name) == nil {
			return false
		}
	}
	return true
}

// newPlan makes the plan for the fields that upstream's function gives to an
// empty hub object, as they stand in the storage version; stored is an empty
// object in it.
func newPlan(resource schema.GroupResource, attributes apistorage.AttrFunc, hub, stored runtime.Object) (*plan, error) {
	_, set, err := attributes(hub)
	if err != nil {
		return nil, fmt.Errorf("the selectable fields of %s: %w", resource, err)
	}
	p, sources := &plan{}, fieldSources()
	for name := range set {
		source, ok := sources[resource.Resource+" "+name]
		if !ok {
			source, ok = sources[name]
		}
		if !ok {
			source.paths = []string{name}
		}
		f := selectable{name: name}
		if f.read, err = source.reader(reflect.TypeOf(stored).Elem()); err != nil {
			p.attributes = attributes
		}
		p.fields = append(p.fields, f)
	}
	return p, nil
}

// A source is where the value of a field stands in the storage version: at the
// first path that has one.
type source struct {
	paths []string
	empty string // the default when no path has a value
}

// fieldSources are the fields that do not stand at the path that they are named
// for, or that have a default; by resource and field, or by field.
func fieldSources() map[string]source {
	return map[string]source{
		"name": {paths: []string{"metadata.name"}},

		"pods spec.restartPolicy":      {paths: []string{"spec.restartPolicy"}, empty: "Always"},
		"pods spec.schedulerName":      {paths: []string{"spec.schedulerName"}, empty: "default-scheduler"},
		"pods spec.serviceAccountName": {paths: []string{"spec.serviceAccountName", "spec.serviceAccount"}},
		"pods status.podIP":            {paths: []string{"status.podIP", "status.podIPs.ip"}},
		"services spec.type":           {paths: []string{"spec.type"}, empty: "ClusterIP"},
		"secrets type":                 {paths: []string{"type"}, empty: "Opaque"},
		"namespaces status.phase":      {paths: []string{"status.phase"}, empty: "Active"},
		"jobs status.successful":       {paths: []string{"status.succeeded"}},
		"events source":                {paths: []string{"source.component", "reportingComponent"}},
	}
}

func (s source) reader(object reflect.Type) (func([]byte) string, error) {
	var paths []path
	for _, name := range s.paths {
		p, err := newPath(object, name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	return func(body []byte) string {
		for _, p := range paths {
			if value := p.read(body); value != "" {
				return value
			}
		}
		return s.empty
	}, nil
}

// A path leads through messages to a scalar.
type path struct {
	steps []step
	kind  reflect.Kind // of the scalar: String, Bool or Int64
}

type step struct {
	number int
	first  bool // of a list
}

// newPath finds the path of JSON names in the type, by its struct tags. Of lists
// it takes the first element.
func newPath(t reflect.Type, name string) (path, error) {
	var p path
	for _, element := range strings.Split(name, ".") {
		field, number, ok := fieldByName(t, element)
		if !ok {
			return path{}, fmt.Errorf("%s has no field %s", t, element)
		}
		t = field
		list := t.Kind() == reflect.Slice
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		p.steps = append(p.steps, step{number, list})
	}
	switch p.kind = t.Kind(); p.kind {
	case reflect.String, reflect.Bool:
	case reflect.Int, reflect.Int32, reflect.Int64:
		p.kind = reflect.Int64
	default:
		return path{}, fmt.Errorf("%s is no scalar but %s", name, t)
	}
	return p, nil
}

// fieldByName finds a field of a struct type by its JSON name and returns its
// type and protobuf number.
func fieldByName(t reflect.Type, name string) (reflect.Type, int, bool) {
	if t.Kind() != reflect.Struct {
		return nil, 0, false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if json, _, _ := strings.Cut(f.Tag.Get("json"), ","); json != name {
			continue
		}
		tag := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			return nil, 0, false
		}
		number, err := strconv.Atoi(tag[1])
		return f.Type, number, err == nil
	}
	return nil, 0, false
}

// read returns the value as upstream prints it. Like a decoder it merges
// repeated messages: the last scalar counts.
func (p path) read(body []byte) string {
	f := finding{path: p}
	f.visit(body, p.steps)
	switch p.kind {
	case reflect.Bool:
		return strconv.FormatBool(f.integer != 0)
	case reflect.Int64:
		return strconv.FormatInt(int64(f.integer), 10)
	}
	return text(f.value)
}

type finding struct {
	path
	value   []byte
	integer uint64
}

func (f *finding) visit(message []byte, steps []step) {
	r := wireReader{buf: message}
	for r.next() {
		if r.number != steps[0].number {
			continue
		}
		switch {
		case len(steps) == 1:
			f.value, f.integer = r.value, r.integer
		case r.value != nil:
			f.visit(r.value, steps[1:])
		}
		if steps[0].first {
			return
		}
	}
}
