package fieldset

import (
	"bytes"
	"reflect"

	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// same compares two values of a leaf, neither of which is absent.
func (n *node) same(w *walk, before, after reflect.Value) bool {
	if n.form == converted {
		return n.sameConverted(w, before, after)
	}
	old, now := content(before), content(after)
	if !old.IsValid() || !now.IsValid() {
		return old.IsValid() == now.IsValid()
	}
	switch n.form {
	case atomList:
		// As structured-merge-diff does for lists of Go values.
		return reflect.DeepEqual(old.Interface(), now.Interface())
	case atomMap:
		return reflect.DeepEqual(old.Interface(), now.Interface()) || sameMaps(w, old, now)
	}
	switch old.Kind() {
	case reflect.String:
		return old.String() == now.String()
	case reflect.Bool:
		return old.Bool() == now.Bool()
	case reflect.Slice:
		return bytes.Equal(old.Bytes(), now.Bytes())
	case reflect.Float32, reflect.Float64:
		return old.Float() == now.Float()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return old.Uint() == now.Uint()
	}
	return old.Int() == now.Int()
}

// sameMaps compares structs and maps that are not the same in Go, but may be in
// JSON (an empty list that is left out, another precision of a time).
func sameMaps(w *walk, old, now reflect.Value) bool {
	a, err := value.NewValueReflect(pointer(old))
	if err != nil {
		w.unsure = true
		return false
	}
	b, err := value.NewValueReflect(pointer(now))
	if err != nil {
		w.unsure = true
		return false
	}
	return value.Equals(a, b)
}

func pointer(v reflect.Value) any {
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

func (n *node) sameConverted(w *walk, before, after reflect.Value) bool {
	if reflect.DeepEqual(before.Interface(), after.Interface()) {
		return true
	}
	old, err := n.entry.ToUnstructured(before)
	if err != nil {
		w.unsure = true
		return false
	}
	now, err := n.entry.ToUnstructured(after)
	if err != nil {
		w.unsure = true
		return false
	}
	return value.Equals(value.NewValueInterface(old), value.NewValueInterface(now))
}
