// Package resource owns the table of served resources: one row for each
// resource or subresource in each version that is served. Discovery, routing
// and the verb handlers read it; builtin fills it, and custom does while the server runs.
package resource

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// A Resource is one row: a resource, or a subresource, in one served version.
type Resource struct {
	schema.GroupVersionResource
	Subresource string // "status"; empty for the resource itself

	// Kind of the bodies that this endpoint takes and gives: Pod for pods,
	// Scale for deployments/scale, Eviction for pods/eviction.
	Kind       schema.GroupVersionKind
	Namespaced bool
	Singular   string
	ShortNames []string
	Categories []string
	Verbs      []string // sorted
	// Shown are the verbs as discovery shows them, if that is something else
	// than Verbs.
	Shown []string
	// Custom rows come from a CustomResourceDefinition.
	Custom bool
	// StorageVersionHash as discovery shows it; empty for subresources.
	StorageVersionHash string
	// Priority is where discovery lists the row's group and version.
	Priority Priority
	// Warnings are sent with every answer, as upstream does for deprecated kinds.
	Warnings []string
	// RemovedRelease is the release that no longer serves this deprecated
	// version, for metrics ("1.40"); empty when none is known.
	RemovedRelease string

	// Storage is upstream's REST storage; its interfaces (rest.Getter,
	// rest.Creater, rest.Connecter, ...) say which verbs exist.
	Storage rest.Storage
	// Objects is where Storage keeps its objects: set for resources (and the
	// subresources that share the object, such as status) whose reads can be
	// served from the byte cache. nil: reads go through Storage.
	Objects *objects.Store
	// Exact is true when the object's bytes in the cache are this version's own
	// encoding and no decorator changes them on read, so that they are an
	// answer as they stand.
	Exact bool

	// Document returns the JSON of a stored object that is a JSON document, in the
	// row's version, when no decoding is needed for that: else false. It may be
	// the stored bytes. nil: objects are not stored so.
	Document func(*storage.Object) ([]byte, bool)
	// Fields are what a field selector of the row sees of a stored object; nil: the
	// object's own. The error says why it can't be read in the row's version.
	Fields func(*storage.Object) (fields.Fields, error)

	// Hooked says that a webhook converts objects of the row: what decodes or
	// encodes them waits for it, whatever context there is.
	Hooked bool

	// Decorate changes an object (or list) of the hub version as Storage's Get
	// and List would before they give it; nil: nothing to change. Readers that
	// decode cached bytes themselves call it.
	Decorate func(runtime.Object)

	// FieldManager tracks managed fields for this kind and subresource.
	FieldManager *managedfields.FieldManager
	// Types is what FieldManager knows the kind's structure from.
	Types managedfields.TypeConverter

	// How bodies are read, converted and written; the built-in scheme's for
	// built-in resources, a generated one for custom resources.
	Creater         runtime.ObjectCreater
	Convertor       runtime.ObjectConvertor
	UnsafeConvertor runtime.ObjectConvertor
	Defaulter       runtime.ObjectDefaulter
	Typer           runtime.ObjectTyper
	Serializer      runtime.NegotiatedSerializer
	ParameterCodec  runtime.ParameterCodec
	Table           rest.TableConvertor
	// Hub is the version objects are handled in (internal for built-in kinds).
	Hub schema.GroupVersion
	// AcceptsGroupVersion says which versions a create or update body may have;
	// nil: only Kind's.
	AcceptsGroupVersion rest.GroupVersionAcceptor
}

// ShownVerbs are the verbs as discovery shows them.
func (r *Resource) ShownVerbs() []string {
	if r.Shown != nil {
		return r.Shown
	}
	return r.Verbs
}
