package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
	etags   map[string]string // by document
	started time.Time
}

// New returns a handler that shows the group versions that serves says are
// served; serves is asked at each request.
func New(serves func(schema.GroupVersion) bool) (*Handler, error) {
	h := &Handler{serves: serves, started: time.Now()}
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
	h.serveDocument(w, r, form, "v2", h.etags["v2"])
}

// serveRoot lists the documents of v3. Its type is text/plain, like upstream's.
func (h *Handler) serveRoot(w http.ResponseWriter, r *http.Request) {
	list := handler3.OpenAPIV3Discovery{Paths: map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}}
	for path, etag := range h.etags {
		if h.shown(path) {
			list.Paths[path] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: relativeURL(path, etag)}
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
	etag := h.etags[path]
	if etag == "" || !h.shown(path) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
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
	h.serveDocument(w, r, form, strings.ReplaceAll(path, "/", "__"), etag)
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
