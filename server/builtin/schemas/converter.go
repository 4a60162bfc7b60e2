package schemas

import (
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// NewConverter returns a type converter for the built-in kinds. It is safe for
// concurrent use and meant to be shared: kinds share the types they have in common.
func NewConverter() managedfields.TypeConverter {
	return &converter{file: openFile(types), atoms: map[string]schema.Atom{}}
}

type converter struct {
	file file

	kinds sync.Map // GroupVersionKind -> *typed.ParseableType; nil for one without schema

	decoding sync.Mutex
	atoms    map[string]schema.Atom // by type name; guarded by decoding
}

func (c *converter) ObjectToTyped(obj runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	kind, err := c.kind(obj.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return kind.FromUnstructured(u.UnstructuredContent(), options...)
	}
	return kind.FromStructured(obj, options...)
}

func (c *converter) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	content, ok := value.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a value of type %T is not an object", value.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: content}, nil
}

func (c *converter) kind(gvk runtimeschema.GroupVersionKind) (*typed.ParseableType, error) {
	known, ok := c.kinds.Load(gvk)
	if !ok {
		decoded, err := c.decodeKind(gvk)
		if err != nil {
			return nil, fmt.Errorf("schema of %v: %w", gvk, err)
		}
		known, _ = c.kinds.LoadOrStore(gvk, decoded)
	}
	kind := known.(*typed.ParseableType)
	if kind == nil {
		// The field manager recognises this error, and keeps the managed
		// fields of a version that is no longer served as they are.
		return nil, runtime.NewNotRegisteredErrForKind("built-in schemas", gvk)
	}
	return kind, nil
}

func (c *converter) decodeKind(gvk runtimeschema.GroupVersionKind) (*typed.ParseableType, error) {
	name, ok := c.file.kind(gvk)
	if !ok {
		return nil, nil
	}
	c.decoding.Lock()
	defer c.decoding.Unlock()
	closure := &schema.Schema{}
	if err := c.decodeClosure(name, map[string]bool{}, closure); err != nil {
		return nil, err
	}
	return &typed.ParseableType{TypeRef: schema.TypeRef{NamedType: &name}, Schema: closure}, nil
}

// decodeClosure adds the named type, and all it refers to, to the schema.
func (c *converter) decodeClosure(name string, seen map[string]bool, into *schema.Schema) error {
	if seen[name] {
		return nil
	}
	seen[name] = true
	atom, known := c.atoms[name]
	if !known {
		var err error
		if atom, err = c.file.atom(name); err != nil {
			return err
		}
		c.atoms[name] = atom
	}
	into.Types = append(into.Types, schema.TypeDef{Name: name, Atom: atom})
	var errs []error
	eachReference(atom, func(referred string) {
		errs = append(errs, c.decodeClosure(referred, seen, into))
	})
	return errors.Join(errs...)
}

func eachReference(atom schema.Atom, visit func(name string)) {
	reference := func(ref schema.TypeRef) {
		if ref.NamedType != nil {
			visit(*ref.NamedType)
			return
		}
		eachReference(ref.Inlined, visit)
	}
	if atom.List != nil {
		reference(atom.List.ElementType)
	}
	if atom.Map != nil {
		for _, field := range atom.Map.Fields {
			reference(field.Type)
		}
		reference(atom.Map.ElementType)
	}
}
