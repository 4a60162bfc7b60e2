package fieldset

import (
	"reflect"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Created is the FieldsV1 of what a new object adds to an empty one; nil when
// that is nothing.
func (p *Plan) Created(object any) (*metav1.FieldsV1, error) {
	out := encoders.Get().(*encoder)
	defer encoders.Put(out)
	out.buf, out.frames = append(out.buf[:0], '{'), append(out.frames[:0], frame{})
	w := walk{sink: out}
	w.visit(p.root, p.skip, p.zero, reflect.ValueOf(object).Elem())
	if w.unsure {
		return nil, ErrUnsure
	}
	if !out.frames[0].children {
		return nil, nil
	}
	fields := &metav1.FieldsV1{}
	fields.SetRawBytes(append(out.buf, '}')) // a copy
	return fields, nil
}

var encoders = sync.Pool{New: func() any { return &encoder{} }}

// An encoder writes the changed paths as FieldsV1 while the walk goes on. What
// it wrote for a path that turns out unchanged is taken back.
type encoder struct {
	buf    []byte
	frames []frame
}

type frame struct {
	start    int // where the path's own text begins
	member   bool
	children bool
}

func (e *encoder) enter() {
	parent := &e.frames[len(e.frames)-1]
	e.frames = append(e.frames, frame{start: len(e.buf)})
	switch {
	case parent.children:
		e.buf = append(e.buf, ',')
	case parent.member:
		e.buf = append(e.buf, `".":{},`...)
	}
}

func (e *encoder) leave() {
	last := e.frames[len(e.frames)-1]
	e.frames = e.frames[:len(e.frames)-1]
	if !last.member && !last.children {
		e.buf = e.buf[:last.start]
		return
	}
	e.buf = append(e.buf, '}')
	e.frames[len(e.frames)-1].children = true
}

func (e *encoder) changed() { e.frames[len(e.frames)-1].member = true }
func (e *encoder) removed() {}

func (e *encoder) field(f *field) {
	e.enter()
	e.buf = append(e.buf, f.open...)
}

func (e *encoder) member(name string) {
	e.enter()
	e.buf = append(e.buf, `"f:`...)
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, `":{`...)
}

func (e *encoder) item(parts []part) {
	e.enter()
	e.buf = append(e.buf, `"k:{`...)
	for i, p := range parts {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, `\"`...)
		e.buf = append(e.buf, p.name...)
		e.buf = append(e.buf, `\":`...)
		if p.isText {
			e.buf = append(e.buf, `\"`...)
			e.buf = append(e.buf, p.text...)
			e.buf = append(e.buf, `\"`...)
		} else {
			e.buf = strconv.AppendInt(e.buf, p.number, 10)
		}
	}
	e.buf = append(e.buf, `}":{`...)
}

func (e *encoder) element(s string) {
	e.enter()
	e.buf = append(e.buf, `"v:\"`...)
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, `\"":{`...)
}
