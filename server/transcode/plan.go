package transcode

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Plan turns messages of one Go type into JSON. It may be used by many
// goroutines at once. Making one takes reflection: keep it.
type Plan struct {
	goType reflect.Type
	root   *message
	slots  sync.Pool // *writer
}

// decoder is what all types with a protobuf encoding have.
type decoder interface{ Unmarshal([]byte) error }

// For makes the plan for t, a struct that embeds [metav1.TypeMeta] first. It
// fails for types with fields that plans can't write.
func For(t reflect.Type) (*Plan, error) {
	if t.Kind() != reflect.Struct || !reflect.PointerTo(t).Implements(reflect.TypeFor[decoder]()) {
		return nil, fmt.Errorf("%s is no struct with a protobuf encoding: decode and encode it instead", t)
	}
	if t.NumField() == 0 || t.Field(0).Type != reflect.TypeFor[metav1.TypeMeta]() {
		return nil, fmt.Errorf("%s doesn't begin with TypeMeta: decode and encode it instead", t)
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, fmt.Errorf("%s writes its JSON itself: decode and encode it instead", t)
	}
	root, err := planner{}.message(t)
	if err != nil {
		return nil, fmt.Errorf("%s has no plan, decode and encode it instead: %w", t, err)
	}
	return &Plan{goType: t, root: root}, nil
}

// AppendJSON appends the JSON of the object that body encodes, without a newline.
// kind and apiVersion come first; empty ones are left out, as in lists. body is
// only read. On an error, dst is returned as it came.
func (p *Plan) AppendJSON(dst, body []byte, kind, apiVersion string) ([]byte, error) {
	if out, ok := p.short(dst, body, kind, apiVersion); ok {
		return out, nil
	}
	return p.long(dst, body, kind, apiVersion)
}

// short doesn't decode; it answers false for what it isn't sure of.
func (p *Plan) short(dst, body []byte, kind, apiVersion string) ([]byte, bool) {
	if len(body) > maxBody {
		return nil, false
	}
	w, ok := p.slots.Get().(*writer)
	if !ok {
		w = &writer{}
	}
	w.body = body
	out, ok := w.root(dst, p.root, kind, apiVersion)
	w.body, w.slots = nil, w.slots[:0]
	p.slots.Put(w)
	return out, ok
}

// long decodes the object and encodes it.
func (p *Plan) long(dst, body []byte, kind, apiVersion string) ([]byte, error) {
	object := reflect.New(p.goType)
	if err := object.Interface().(decoder).Unmarshal(body); err != nil {
		return dst, fmt.Errorf("decode %s: %w", p.goType, err)
	}
	object.Elem().Field(0).Set(reflect.ValueOf(metav1.TypeMeta{Kind: kind, APIVersion: apiVersion}))
	b, err := json.Marshal(object.Interface())
	if err != nil {
		return dst, fmt.Errorf("encode %s: %w", p.goType, err)
	}
	return append(dst, b...), nil
}
