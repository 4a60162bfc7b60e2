package openapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/munnerz/goautoneg"
)

//go:embed documents
var documents embed.FS

const jsonSuffix = ".json.gz"

// A form is one encoding of a document.
type form struct {
	accepted    []string // subtypes of application/ that ask for it
	contentType string
	suffix      string // of the embedded file
}

var (
	v2Forms = []form{
		{[]string{"json"}, "application/json", jsonSuffix},
		{
			// The name with an @ is not a valid media type, but older clients send it.
			[]string{"com.github.proto-openapi.spec.v2@v1.0+protobuf", "com.github.proto-openapi.spec.v2.v1.0+protobuf"},
			"application/com.github.proto-openapi.spec.v2.v1.0+protobuf", ".pb.gz",
		},
	}
	v3Forms = []form{
		{[]string{"json"}, "application/json", jsonSuffix},
		{
			[]string{"com.github.proto-openapi.spec.v3@v1.0+protobuf", "com.github.proto-openapi.spec.v3.v1.0+protobuf"},
			"application/com.github.proto-openapi.spec.v3.v1.0+protobuf", ".pb.gz",
		},
	}
)

// negotiate returns the form that the client likes best, or nil.
func negotiate(accept string, forms []form) *form {
	if accept == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		if clause.Type != "application" && clause.Type != "*" {
			continue
		}
		for i, form := range forms {
			for _, subtype := range form.accepted {
				if clause.SubType == subtype || clause.SubType == "*" {
					return &forms[i]
				}
			}
		}
	}
	return nil
}

// A document is served in several forms.
type document struct {
	etag       string
	compressed func(*form) ([]byte, error)
}

// embedded is a document that was made ahead of time.
func (h *Handler) embedded(name string) document {
	return document{h.etags[name], func(form *form) ([]byte, error) {
		return documents.ReadFile("documents/" + strings.ReplaceAll(name, "/", "__") + form.suffix)
	}}
}

// serveDocument serves a document, compressed when the client takes that, or
// tells it that it has this one already.
func (h *Handler) serveDocument(w http.ResponseWriter, r *http.Request, form *form, d document) {
	compressed, err := d.compressed(form)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Add("Vary", "Accept-Encoding")
	w.Header().Set("Content-Type", form.contentType)
	w.Header().Set("Etag", strconv.Quote(d.etag))
	content := compressed
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
	} else if content, err = decompress(compressed); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", h.started, bytes.NewReader(content))
}

func decompress(compressed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// takesGzip reads Accept-Encoding: "gzip, br;q=0.5".
func takesGzip(acceptEncoding []string) bool {
	for _, value := range acceptEncoding {
		for clause := range strings.SplitSeq(value, ",") {
			coding, parameters, _ := strings.Cut(clause, ";")
			if coding = strings.TrimSpace(coding); !strings.EqualFold(coding, "gzip") && coding != "*" {
				continue
			}
			quality, found := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
			if q, err := strconv.ParseFloat(quality, 64); !found || err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}
