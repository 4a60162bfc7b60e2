package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"github.com/howdah/howdah/server/custom"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/metrics"
	"github.com/howdah/howdah/server/read"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/write"
)

// dispatch serves everything below a group version: it finds the row of the
// table that the path names and the verb's handler for it.
type dispatch struct {
	table  *resource.Table
	custom *custom.Resources
	read   read.Deps
	write  write.Deps

	handlers sync.Map      // *resource.Resource -> *verbs
	change   atomic.Uint64 // of the table, up to which handlers of old rows are gone
}

// verbs are the handlers of one row; nil: the row does not have the verb.
type verbs struct {
	get, list, watch                                http.Handler
	create, update, patch, delete, deleteCollection http.Handler
	connect                                         map[string]http.Handler // by HTTP method

	produced, producedStreams []string // media types of objects, and of lists that can be watched
}

func (d *dispatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, _ := request.RequestInfoFrom(r.Context())
	gv := schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	row := d.table.Lookup(gv.WithResource(info.Resource), info.Subresource)
	if row == nil {
		if err := d.custom.Await(r.Context(), gv.WithResource(info.Resource).GroupResource()); err != nil {
			encode.Error(w, r, nil, err)
			return
		}
		row = d.table.Lookup(gv.WithResource(info.Resource), info.Subresource)
	}
	if row == nil {
		if d.table.Serves(gv) {
			encode.Error(w, r, nil, encode.UnknownPath())
		} else {
			http.NotFound(w, r)
		}
		return
	}
	handlers := d.verbsOf(row)
	if len(info.Parts) > pathParts(row) && handlers.connect == nil {
		encode.Error(w, r, nil, encode.UnknownPath())
		return
	}
	if row.Namespaced {
		if info.Namespace == "" && len(info.Parts) > 1 {
			encode.Error(w, r, nil, encode.UnknownPath()) // one object is in a namespace
			return
		}
	} else if info.Namespace != "" {
		// /namespaces/NAME is its own namespace to authorizers, and in none to handlers.
		if row.Resource != "namespaces" {
			encode.Error(w, r, nil, encode.UnknownPath())
			return
		}
		inNone := *info
		inNone.Namespace = ""
		r = r.WithContext(request.WithNamespace(request.WithRequestInfo(r.Context(), &inNone), ""))
	}
	handler := handlers.forRequest(row, info, r.Method)
	if handler == nil {
		encode.Error(w, r, nil, encode.UnsupportedMethod())
		return
	}
	for _, text := range row.Warnings {
		warning.AddWarning(r.Context(), "", text)
	}
	if err := handlers.refuse(info.Verb, r); err != nil {
		encode.Error(w, r, nil, err)
		return
	}
	metrics.Serve(w, r, row, handler)
}

// pathParts is how many segments a path of the row has: RESOURCE/NAME/SUBRESOURCE.
func pathParts(row *resource.Resource) int {
	if row.Subresource == "" {
		return 2
	}
	return 3
}

// refuse says what is wrong with the request's media types before its handler
// looks at them.
func (v *verbs) refuse(verb string, r *http.Request) error {
	if v.connect != nil {
		return nil
	}
	produced := v.produced
	if verb == "list" || verb == "watch" {
		produced = v.producedStreams
	}
	if !encode.Accepts(r.Header.Get("Accept"), produced) {
		return encode.Unacceptable(produced)
	}
	if verb == "patch" && r.Header.Get("Content-Type") != "" {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if !slices.Contains(patchTypes, strings.TrimSpace(mediaType)) {
			return encode.UnsupportedBody()
		}
	}
	return nil
}

var patchTypes = []string{
	string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType),
}

func (v *verbs) forRequest(row *resource.Resource, info *request.RequestInfo, method string) http.Handler {
	if v.connect != nil {
		return v.connect[method]
	}
	if row.Namespaced && info.Namespace == "" && info.Verb != "list" && info.Verb != "watch" {
		return nil
	}
	switch info.Verb {
	case "get":
		return v.get
	case "list":
		return v.list
	case "watch":
		return v.watch
	case "create":
		// POST to an object is only for subresources such as binding.
		if named := len(info.Parts) > 1; named != (row.Subresource != "") {
			return nil
		}
		return v.create
	case "update", "patch":
		if info.Name == "" {
			return nil
		}
		if info.Verb == "update" {
			return v.update
		}
		return v.patch
	case "delete":
		return v.delete
	case "deletecollection":
		return v.deleteCollection
	}
	return nil
}

func (d *dispatch) verbsOf(row *resource.Resource) *verbs {
	if known, ok := d.handlers.Load(row); ok {
		return known.(*verbs)
	}
	v := &verbs{}
	v.produced, v.producedStreams = negotiation.MediaTypesForSerializer(row.Serializer)
	v.producedStreams = append(slices.Clone(v.produced), v.producedStreams...)
	if producer, ok := row.Storage.(rest.StorageMetadata); ok {
		v.produced = append(producer.ProducesMIMETypes(http.MethodGet), v.produced...)
	}
	if connecter, ok := row.Storage.(rest.Connecter); ok {
		v.connect = map[string]http.Handler{}
		for _, method := range connecter.ConnectMethods() {
			v.connect[method] = write.Connect(row, d.write)
		}
	} else {
		if slices.Contains(row.Verbs, "get") {
			v.get = read.Get(row, d.read)
		}
		if slices.Contains(row.Verbs, "list") {
			v.list = read.List(row, d.read)
		}
		if slices.Contains(row.Verbs, "watch") {
			v.watch = read.Watch(row, d.read)
		}
		if slices.Contains(row.Verbs, "create") {
			v.create = d.lazily(write.Create, row)
		}
		if slices.Contains(row.Verbs, "update") {
			v.update = d.lazily(write.Update, row)
		}
		if slices.Contains(row.Verbs, "patch") {
			v.patch = d.lazily(write.Patch, row)
		}
		if slices.Contains(row.Verbs, "delete") {
			v.delete = d.lazily(write.Delete, row)
		}
		if slices.Contains(row.Verbs, "deletecollection") {
			v.deleteCollection = d.lazily(write.DeleteCollection, row)
		}
	}
	known, _ := d.handlers.LoadOrStore(row, v)
	d.forget()
	return known.(*verbs)
}

// lazily makes a handler when its first request comes. Most rows of custom
// resources are only ever watched, and what reads bodies is large.
func (d *dispatch) lazily(newHandler func(*resource.Resource, write.Deps) http.Handler, row *resource.Resource) http.Handler {
	handler := sync.OnceValue(func() http.Handler { return newHandler(row, d.write) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) })
}

// forget lets go of the handlers of rows that are no longer in the table.
func (d *dispatch) forget() {
	now := d.table.Change()
	if d.change.Swap(now) == now {
		return
	}
	d.handlers.Range(func(key, _ any) bool {
		row := key.(*resource.Resource)
		if d.table.Lookup(row.GroupVersionResource, row.Subresource) != row {
			d.handlers.Delete(row)
		}
		return true
	})
}
