package fieldset

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// A sink is told where the walk is and which paths differ. A path is told
// before the paths below it.
type sink interface {
	field(f *field)
	member(name string)
	item(parts []part)
	element(s string)
	leave()
	changed() // the path was added or has another value
	removed()
}

// A walk compares an old and a new value, either of which may be absent: an
// invalid reflect.Value, as opposed to null, which is a nil of some type.
type walk struct {
	sink   sink
	unsure bool
}

func (w *walk) visit(n *node, skip *skip, before, after reflect.Value) {
	if w.unsure {
		return
	}
	switch n.form {
	case unsure:
		w.unsure = true
	case scalar, converted, atomList, atomMap:
		w.leaf(before, after, func() bool { return n.same(w, before, after) })
	default:
		w.container(n, skip, before, after)
	}
}

func (w *walk) leaf(before, after reflect.Value, same func() bool) {
	switch {
	case !before.IsValid():
		w.sink.changed()
	case !after.IsValid():
		w.sink.removed()
	case !same():
		w.sink.changed()
	}
}

func (w *walk) container(n *node, skip *skip, before, after reflect.Value) {
	old, now := content(before), content(after)
	if n.empty(now) && n.empty(old) {
		// A leaf, so that empty and null are told apart.
		w.leaf(before, after, func() bool { return old.IsValid() == now.IsValid() })
		return
	}
	switch {
	case !before.IsValid():
		w.sink.changed()
	case !after.IsValid():
		w.sink.removed()
	}
	switch n.form {
	case structure:
		w.structure(n, skip, old, now)
	case mapping:
		w.mapping(n, old, now)
	case keyedList:
		w.keyed(n, old, now)
	case setList:
		w.set(n, old, now)
	}
}

// content is the value without its pointer; invalid when it is null or absent.
func content(v reflect.Value) reflect.Value {
	if !v.IsValid() {
		return v
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return reflect.Value{}
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		if v.IsNil() {
			return reflect.Value{}
		}
	}
	return v
}

func (n *node) empty(v reflect.Value) bool {
	if !v.IsValid() {
		return true
	}
	if n.form != structure {
		return v.Len() == 0
	}
	at := address(v)
	for i := range n.fields {
		if n.fields[i].present(v, at).IsValid() {
			return false
		}
	}
	return true
}

// present is the value of the field in a struct, which is at that address if it has
// one; invalid when JSON would leave it out.
func (f *field) present(v reflect.Value, at unsafe.Pointer) reflect.Value {
	if !v.IsValid() || f.zero.of(at) {
		return reflect.Value{}
	}
	return present(f.entry, v)
}

func present(entry *value.FieldCacheEntry, v reflect.Value) reflect.Value {
	f := entry.GetFrom(v)
	if entry.CanOmit(f) {
		return reflect.Value{}
	}
	return f
}

func (w *walk) structure(n *node, s *skip, old, now reflect.Value) {
	oldAt, nowAt := address(old), address(now)
	for i := range n.fields {
		f := &n.fields[i]
		before, after := f.present(old, oldAt), f.present(now, nowAt)
		if !before.IsValid() && !after.IsValid() {
			continue
		}
		var below *skip
		if s != nil {
			var named bool
			if below, named = s.below[f.name]; named && below.below == nil {
				continue
			}
		}
		w.sink.field(f)
		w.visit(f.node, below, before, after)
		w.sink.leave()
	}
}

func (w *walk) mapping(n *node, old, now reflect.Value) {
	names := make([]string, 0, 8)
	for _, m := range [2]reflect.Value{now, old} {
		if m.IsValid() {
			for iterator := m.MapRange(); iterator.Next(); {
				names = append(names, iterator.Key().String())
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !plain(name) {
			w.unsure = true
			return
		}
		k := reflect.ValueOf(name)
		if t := n.typ.Key(); t != k.Type() {
			k = k.Convert(t)
		}
		var before, after reflect.Value
		if old.IsValid() {
			before = old.MapIndex(k)
		}
		if now.IsValid() {
			after = now.MapIndex(k)
		}
		w.sink.member(name)
		w.visit(n.elem, nil, before, after)
		w.sink.leave()
	}
}

// A part is one field of a list element's key.
type part struct {
	name   string
	text   string
	number int64
	isText bool
}

func (p part) compare(q part) int {
	if c := strings.Compare(p.name, q.name); c != 0 {
		return c
	}
	if p.isText {
		return strings.Compare(p.text, q.text)
	}
	return cmp.Compare(p.number, q.number)
}

type item struct {
	parts []part
	value reflect.Value
}

func compareItems(a, b item) int { return slices.CompareFunc(a.parts, b.parts, part.compare) }

// items are the elements of a keyed list in the order of their keys.
func (w *walk) items(n *node, list reflect.Value) []item {
	if !list.IsValid() {
		return nil
	}
	items := make([]item, list.Len())
	parts := make([]part, 0, len(n.keys)*len(items))
	for i := range items {
		element := list.Index(i)
		from := len(parts)
		for k := range n.keys {
			p, ok := w.part(&n.keys[k], element)
			if ok {
				parts = append(parts, p)
			}
		}
		items[i] = item{parts: parts[from:len(parts):len(parts)], value: element}
		if len(items[i].parts) == 0 {
			w.unsure = true
		}
	}
	slices.SortFunc(items, compareItems)
	for i := 1; i < len(items); i++ {
		if compareItems(items[i-1], items[i]) == 0 {
			w.unsure = true
		}
	}
	return items
}

func (w *walk) part(k *key, element reflect.Value) (part, bool) {
	p := part{name: k.name}
	v := present(k.entry, element)
	if v.IsValid() && v.Kind() == reflect.Pointer {
		if v.IsNil() {
			w.unsure = true
			return p, false
		}
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		switch standard := k.standard.(type) {
		case nil:
			return p, false
		case string:
			p.text, p.isText = standard, true
		case int64:
			p.number = standard
		default:
			w.unsure = true
		}
	case v.Kind() == reflect.String:
		p.text, p.isText = v.String(), true
	default:
		p.number = v.Int()
	}
	if !plain(p.text) {
		w.unsure = true
	}
	return p, true
}

func (w *walk) keyed(n *node, old, now reflect.Value) {
	olds, nows := w.items(n, old), w.items(n, now)
	for !w.unsure && (len(olds) > 0 || len(nows) > 0) {
		order := 0
		switch {
		case len(olds) == 0:
			order = 1
		case len(nows) == 0:
			order = -1
		default:
			order = compareItems(olds[0], nows[0])
		}
		var before, after reflect.Value
		var parts []part
		if order <= 0 {
			before, parts = olds[0].value, olds[0].parts
			olds = olds[1:]
		}
		if order >= 0 {
			after, parts = nows[0].value, nows[0].parts
			nows = nows[1:]
		}
		w.sink.item(parts)
		w.visit(n.elem, nil, before, after)
		w.sink.leave()
	}
}

func (w *walk) set(n *node, old, now reflect.Value) {
	olds, nows := w.texts(old), w.texts(now)
	for _, text := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(olds, nows)))) {
		_, before := slices.BinarySearch(olds, text)
		_, after := slices.BinarySearch(nows, text)
		w.sink.element(text)
		switch {
		case !before:
			w.sink.changed()
		case !after:
			w.sink.removed()
		}
		w.sink.leave()
	}
}

// texts are a set's elements, sorted.
func (w *walk) texts(list reflect.Value) []string {
	if !list.IsValid() {
		return nil
	}
	texts := make([]string, list.Len())
	for i := range texts {
		element := list.Index(i)
		if element.Kind() == reflect.Pointer {
			w.unsure = true
			return nil
		}
		texts[i] = element.String()
		if !plain(texts[i]) {
			w.unsure = true
		}
	}
	slices.Sort(texts)
	for i := 1; i < len(texts); i++ {
		if texts[i-1] == texts[i] {
			w.unsure = true
		}
	}
	return texts
}

// plain texts are the same in every kind of JSON encoding.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
