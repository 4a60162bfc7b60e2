package read

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metainternalscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

func (e *endpoint) get(w http.ResponseWriter, r *http.Request) error {
	info, _ := request.RequestInfoFrom(r.Context())
	if info.Name == "" {
		return apierrors.NewBadRequest("name must be provided")
	}
	format, err := encode.Negotiate(r, e.Resource)
	if err != nil {
		return err
	}
	if getter, ok := e.Storage.(rest.GetterWithOptions); ok {
		return e.getWithOptions(w, r, getter, info)
	}
	options, err := getOptions(r)
	if err != nil {
		return err
	}
	if e.Objects == nil {
		getter, ok := e.Storage.(rest.Getter)
		if !ok {
			return apierrors.NewMethodNotSupported(e.GroupResource(), "get")
		}
		obj, err := getter.Get(e.inNamespace(r), info.Name, options)
		if err != nil {
			return err
		}
		encode.Object(w, r, e.Resource, http.StatusOK, obj)
		return nil
	}
	o, err := e.find(r.Context(), e.namespace(r), info.Name, options.ResourceVersion)
	if err != nil {
		return err
	}
	return e.write(w, r, format, o)
}

// write answers with one object.
func (e *endpoint) write(w http.ResponseWriter, r *http.Request, format encode.Format, o *storage.Object) error {
	switch {
	case format.Target != nil || format.Pretty || audit.WantsResponse(r.Context()):
	case format.MediaType() == runtime.ContentTypeProtobuf && e.Exact && isProtobuf(o):
		encode.Bytes(w, r, http.StatusOK, format.MediaType(), o.Value())
		return nil
	case format.MediaType() == runtime.ContentTypeJSON && e.types.native:
		const grows = 2 // rarely more
		b, err := e.appendJSON(make([]byte, len(e.types.objectHead)-1, grows*o.Len()+len(e.types.objectHead)), o)
		if err != nil {
			return err
		}
		copy(b, e.types.objectHead) // over the brace of the item
		encode.Bytes(w, r, http.StatusOK, format.MediaType(), append(b, '\n'))
		return nil
	}
	if e.takesDocuments(format, r) {
		document, err := e.document(r.Context(), o)
		if err != nil {
			return err
		}
		encode.Document(w, r, http.StatusOK, format.MediaType(), document)
		return nil
	}
	obj, err := e.subject(r.Context(), o, format)
	if err != nil {
		return err
	}
	format.Object(w, r, e.Resource, http.StatusOK, obj)
	return nil
}

// find reads the cache once it is as new as the version asks for.
func (e *endpoint) find(ctx context.Context, namespace, name, resourceVersion string) (*storage.Object, error) {
	if e.Namespaced && namespace == "" {
		return nil, apierrors.NewBadRequest("Namespace parameter required.")
	}
	if problems := content.IsPathSegmentName(name); len(problems) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Name parameter invalid: %q: %s", name, strings.Join(problems, ";")))
	}
	if err := e.reach(ctx, resourceVersion); err != nil {
		return nil, err
	}
	o, _ := e.Objects.Collection().Get(e.Objects.Key(namespace, name))
	switch {
	case o == nil:
		return nil, apierrors.NewNotFound(e.GroupResource(), name)
	case o.Err != nil:
		return nil, objects.ReadError(o)
	}
	return o, nil
}

// reach waits until the cache is as new as the version asks for: as the present
// if it is empty.
func (e *endpoint) reach(ctx context.Context, resourceVersion string) error {
	wanted, err := apistorage.APIObjectVersioner{}.ParseResourceVersion(resourceVersion)
	if err != nil {
		return err
	}
	store := e.deps.Store
	if resourceVersion == "" {
		_, err := store.Sync(ctx)
		return objects.APIError(err, e.GroupResource(), "")
	}
	if now := store.Revision(); wanted <= uint64(now) {
		return nil
	}
	return e.outcome(store.Wait(ctx, int64(min(wanted, maxRevision))), wanted)
}

const maxRevision = 1<<63 - 1

// outcome is the API's error of having asked the store for a revision.
func (e *endpoint) outcome(err error, wanted uint64) error {
	if isFuture(err) {
		const retrySeconds = 1
		return apistorage.NewTooLargeResourceVersionError(wanted, uint64(e.deps.Store.Revision()), retrySeconds)
	}
	return objects.APIError(err, e.GroupResource(), "")
}

func getOptions(r *http.Request) (*metav1.GetOptions, error) {
	options := &metav1.GetOptions{}
	if r.URL.RawQuery == "" {
		return options, nil
	}
	query := r.URL.Query()
	if export := query["export"]; len(export) > 0 {
		on := true
		if err := runtime.Convert_Slice_string_To_bool(&export, &on, nil); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the export parameter cannot be parsed: %v", err))
		}
		if on {
			return nil, apierrors.NewBadRequest("the export parameter, deprecated since v1.14, is no longer supported")
		}
	}
	if err := metainternalscheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, options); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return options, nil
}

// getWithOptions serves storages that take parameters of their own, such as logs.
func (e *endpoint) getWithOptions(w http.ResponseWriter, r *http.Request, getter rest.GetterWithOptions, info *request.RequestInfo) error {
	options, subpath, subpathKey := getter.NewGetOptions()
	if options != nil {
		query := r.URL.Query()
		if subpath {
			query = withSubpath(query, subpathKey, info)
		}
		if err := e.ParameterCodec.DecodeParameters(query, e.Kind.GroupVersion(), options); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	obj, err := getter.Get(e.inNamespace(r), info.Name, options)
	if err != nil {
		return err
	}
	encode.Object(w, r, e.Resource, http.StatusOK, obj)
	return nil
}

// withSubpath adds what the path has below the resource (or subresource).
func withSubpath(query url.Values, key string, info *request.RequestInfo) url.Values {
	parts := info.Parts[min(2, len(info.Parts)):]
	if info.Subresource != "" {
		parts = info.Parts[min(3, len(info.Parts)):]
	}
	path := strings.Join(parts, "/")
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if strings.HasSuffix(info.Path, "/") && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	query[key] = []string{path}
	return query
}
