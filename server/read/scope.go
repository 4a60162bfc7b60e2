package read

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"

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
	fields := options.FieldSelector
	if fields != nil && !fields.Empty() {
		s.selection.FieldsOf = e.Fields
	}
	if namespace == "" && e.Namespaced && fields != nil {
		selected, ok := fields.RequiresExactMatch("metadata.namespace")
		if ok && len(validation.ValidateNamespaceName(selected, false)) == 0 {
			namespace = selected
		}
	}
	s.prefix = e.Objects.Prefix()
	if namespace != "" {
		s.prefix += namespace + "/"
	}
	if fields == nil || options.Continue != "" || e.Namespaced && namespace == "" {
		return s
	}
	name, ok := fields.RequiresExactMatch(nameField)
	if ok && name != "" && len(content.IsPathSegmentName(name)) == 0 {
		s.key = e.Objects.Key(namespace, name)
	}
	return s
}

func isFuture(err error) bool { return errors.Is(err, storage.ErrFutureRevision) }

// after is the key after which a list goes on; tokens name the place behind it.
func after(continueKey string) string { return strings.TrimSuffix(continueKey, "\x00") }
