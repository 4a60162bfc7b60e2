package read

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/howdah/howdah/storage"
)

// A scope is the part of a collection that a list or watch is about.
type scope struct {
	prefix    string // of the keys
	key       string // the only key, if the selectors leave one
	selection storage.Selection
}

func (e *endpoint) scope(namespace string, options *metainternal.ListOptions) scope {
	s := scope{selection: storage.Selection{Labels: options.LabelSelector, Fields: options.FieldSelector}}
	selector := options.FieldSelector
	if selector != nil && !selector.Empty() && e.Fields != nil {
		s.selection.FieldsOf = e.fieldsOf
	}
	if namespace == "" && e.Namespaced && selector != nil {
		selected, ok := selector.RequiresExactMatch("metadata.namespace")
		if ok && len(validation.ValidateNamespaceName(selected, false)) == 0 {
			namespace = selected
		}
	}
	s.prefix = e.Objects.Prefix()
	if namespace != "" {
		s.prefix += namespace + "/"
	}
	if selector == nil || options.Continue != "" || e.Namespaced && namespace == "" {
		return s
	}
	name, ok := selector.RequiresExactMatch(nameField)
	if ok && name != "" && len(content.IsPathSegmentName(name)) == 0 {
		s.key = e.Objects.Key(namespace, name)
	}
	return s
}

// fieldsOf are the row's fields of an object; its own if it can't be read, which
// whoever reads it will be told.
func (e *endpoint) fieldsOf(o *storage.Object) fields.Fields {
	found, err := e.Fields(o)
	if err != nil {
		return o.Fields
	}
	return found
}

func isFuture(err error) bool { return errors.Is(err, storage.ErrFutureRevision) }

// after is the key after which a list goes on; tokens name the place behind it.
func after(continueKey string) string { return strings.TrimSuffix(continueKey, "\x00") }
