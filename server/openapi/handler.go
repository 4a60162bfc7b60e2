package openapi

import (
	"context"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/handler3"
)

const root = "/openapi/v3"

// A Handler serves /openapi/v2, /openapi/v3 and what is below it.
type Handler struct {
	serves  func(schema.GroupVersion) bool
	etags   map[string]string // by embedded document
	sources []Source
	made    made
	started time.Time
}

// New returns a handler that shows the group versions that serves says are
// served, and those of the sources; both are asked at each request.
func New(serves func(schema.GroupVersion) bool, sources ...Source) (*Handler, error) {
	h := &Handler{serves: serves, sources: sources, started: time.Now()}
	index, err := documents.ReadFile("documents/index.json")
	if err != nil {
		return nil, fmt.Errorf("read the embedded index of OpenAPI documents: %w", err)
	}
	if err := json.Unmarshal(index, &h.etags); err != nil {
		return nil, fmt.Errorf("read the embedded index of OpenAPI documents: %w", err)
	}
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/openapi/v2":
		h.serveV2(w, r)
	case path == root:
		h.serveRoot(w, r)
	case strings.HasPrefix(path, root+"/"):
		h.serveV3(w, r, strings.TrimPrefix(path, root+"/"))
	default:
		http.NotFound(w, r)
	}
}

func (h *Handler) serveV2(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	form := negotiate(r.Header.Get("Accept"), v2Forms)
	if form == nil {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	h.serveDocument(w, r, form, h.v2(r.Context()))
}

// serveRoot lists the documents of v3. Its type is text/plain, like upstream's.
func (h *Handler) serveRoot(w http.ResponseWriter, r *http.Request) {
	list := handler3.OpenAPIV3Discovery{Paths: map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}}
	show := func(path, etag string) {
		list.Paths[path] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: relativeURL(path, etag)}
	}
	for _, source := range h.sources {
		for path, etag := range source.Tags() {
			show(path, etag)
		}
	}
	for path, etag := range h.etags {
		if h.shown(path) {
			show(path, etag)
		}
	}
	body, err := json.Marshal(list)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(body)
}

func (h *Handler) serveV3(w http.ResponseWriter, r *http.Request, path string) {
	d, found := h.v3(r.Context(), path)
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	etag := d.etag
	w.Header().Add("Vary", "Accept")
	form := negotiate(r.Header.Get("Accept"), v3Forms)
	if form == nil {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != etag {
			w.Header().Set("Content-Type", form.contentType)
			w.Header().Set("Etag", strconv.Quote(etag))
			http.Redirect(w, r, relativeURL(path, etag), http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).UTC().Format(http.TimeFormat))
	}
	h.serveDocument(w, r, form, d)
}

func (h *Handler) v3(ctx context.Context, path string) (document, bool) {
	if h.etags[path] != "" && h.shown(path) {
		return h.embedded(path), true
	}
	for _, source := range h.sources {
		if etag := source.Tags()[path]; etag != "" {
			return h.made.v3(ctx, source, path, etag), true
		}
	}
	return document{}, false
}

// v2 is the embedded document with what the sources add to it.
func (h *Handler) v2(ctx context.Context) document {
	own := h.embedded("v2")
	hash, added := sha512.New(), false
	fmt.Fprintln(hash, own.etag)
	for _, source := range h.sources {
		tags := source.Tags()
		for _, path := range slices.Sorted(maps.Keys(tags)) {
			fmt.Fprintln(hash, path, tags[path])
			added = true
		}
	}
	if !added {
		return own
	}
	return h.made.v2(ctx, own, h.sources, fmt.Sprintf("%X", hash.Sum(nil)))
}

// shown says whether a document of v3 is about something that is served.
func (h *Handler) shown(path string) bool {
	parts := strings.Split(path, "/")
	switch {
	case path == "v2":
		return false // not of v3
	case parts[0] == "api" && len(parts) == 2:
		return h.serves(schema.GroupVersion{Version: parts[1]})
	case parts[0] == "apis" && len(parts) == 3:
		return h.serves(schema.GroupVersion{Group: parts[1], Version: parts[2]})
	case parts[0] == "apis" && len(parts) == 2: // a group is served when one of its versions is
		for other := range h.etags {
			if strings.HasPrefix(other, path+"/") && h.shown(other) {
				return true
			}
		}
		return false
	default: // "api", "apis", "version"
		return true
	}
}

func relativeURL(path, etag string) string {
	u := url.URL{Path: root + "/" + path, RawQuery: url.Values{"hash": {etag}}.Encode()}
	return u.String()
}
