package discovery

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/resource"
)

// A Handler serves /api, /api/VERSION, /apis, /apis/GROUP and
// /apis/GROUP/VERSION.
type Handler struct {
	table      *resource.Table
	others     Others
	codecs     serializer.CodecFactory // of the documents of one group or version
	aggregated serializer.CodecFactory // of those of all at once
	legacy     http.Handler            // /api without aggregation
	made       atomic.Pointer[documents]
}

// New returns a handler for what the table holds at the time of each request.
// address is where clients reach the server ("192.0.2.1:6443"). others, which may
// be nil, are asked at each request, too.
func New(table *resource.Table, address string, others Others) (*Handler, error) {
	h := &Handler{table: table, others: others}
	if others == nil {
		h.others = nobody{}
	}

	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	h.codecs = serializer.NewCodecFactory(scheme)
	h.legacy = discovery.NewLegacyRootAPIHandler(everywhere(address), h.codecs, "/api")

	scheme = runtime.NewScheme()
	if err := apidiscoveryv2.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("make the scheme of aggregated discovery: %w", err)
	}
	h.aggregated = serializer.NewCodecFactory(scheme)
	return h, nil
}

// everywhere is the one address of the server, whatever the client's.
type everywhere string

func (address everywhere) ServerAddressByClientCIDRs(net.IP) []metav1.ServerAddressByClientCIDR {
	return []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: string(address)}}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	made, err := h.documents()
	if err != nil {
		encode.Error(w, r, nil, apierrors.NewInternalError(err))
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 1 && parts[0] == "api":
		if h.isRoute(w, r) {
			h.serveRoot(w, r, made.core, h.legacy)
		}
	case len(parts) == 1 && parts[0] == "apis":
		h.serveRoot(w, r, made.groups, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.write(w, r, made.list)
		}))
	case len(parts) == 2 && parts[0] == "api":
		h.serveVersion(w, r, made, schema.GroupVersion{Version: parts[1]})
	case len(parts) == 2 && parts[0] == "apis":
		if group := made.byName[parts[1]]; group != nil {
			h.write(w, r, group)
		} else {
			http.NotFound(w, r)
		}
	case len(parts) == 3 && parts[0] == "apis":
		h.serveVersion(w, r, made, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	default:
		http.NotFound(w, r)
	}
}

// serveRoot serves the aggregated document to those who ask for it.
func (h *Handler) serveRoot(w http.ResponseWriter, r *http.Request, all aggregate, plain http.Handler) {
	asked, _ := negotiation.NegotiateMediaTypeOptions(r.Header.Get("Accept"), h.aggregated.SupportedMediaTypes(), aggregated.DiscoveryEndpointRestrictions)
	if aggregated.IsAggregatedDiscoveryGVK(asked.Convert) {
		aggregated.ServeHTTPWithETag(all.list, all.etag, apidiscoveryv2.SchemeGroupVersion, h.aggregated, w, r)
		return
	}
	plain.ServeHTTP(w, r)
}

func (h *Handler) serveVersion(w http.ResponseWriter, r *http.Request, made *documents, gv schema.GroupVersion) {
	resources := made.byVersion[gv]
	if resources == nil {
		if gv.Group == "" || made.byName[gv.Group] != nil {
			encode.Error(w, r, nil, encode.UnknownPath())
		} else {
			http.NotFound(w, r)
		}
		return
	}
	if h.isRoute(w, r) {
		resources.ServeHTTP(w, r)
	}
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, obj runtime.Object) {
	responsewriters.WriteObjectNegotiated(h.codecs, negotiation.DefaultEndpointRestrictions, schema.GroupVersion{}, w, r, http.StatusOK, obj, false)
}

// isRoute answers requests that go-restful does not let through, and says
// whether it would.
func (h *Handler) isRoute(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet {
		encode.Error(w, r, nil, encode.UnsupportedMethod())
		return false
	}
	mediaTypes, _ := negotiation.MediaTypesForSerializer(h.codecs)
	if !encode.Accepts(r.Header.Get("Accept"), mediaTypes) {
		encode.Error(w, r, nil, encode.Unacceptable(mediaTypes))
		return false
	}
	return true
}
