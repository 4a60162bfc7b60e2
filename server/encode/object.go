package encode

import (
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/registry/rest"

	"strconv"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// Object answers with an object or list in the form that the client asks for.
// obj is in the hub version or the row's.
func Object(w http.ResponseWriter, r *http.Request, res *resource.Resource, status int, obj runtime.Object) {
	if stream, ok := obj.(rest.ResourceStreamer); ok {
		responsewriters.StreamObject(status, res.Kind.GroupVersion(), res.Serializer, stream, w, r)
		return
	}
	format, err := Negotiate(r, res)
	if err != nil {
		Error(w, r, res, err)
		return
	}
	format.Object(w, r, res, status, obj)
}

// Object answers like [Object] in a format that was negotiated before.
func (f Format) Object(w http.ResponseWriter, r *http.Request, res *resource.Resource, status int, obj runtime.Object) {
	options, err := f.TableOptions(r)
	if err != nil {
		Error(w, r, res, err)
		return
	}
	if meta.IsListType(obj) && meta.LenList(obj) == 0 {
		// Clients want [], not null.
		if err := meta.SetList(obj, []runtime.Object{}); err != nil {
			Error(w, r, res, err)
			return
		}
	}
	obj, err = f.Transform(r.Context(), res, options, obj)
	if err != nil {
		Error(w, r, res, err)
		return
	}
	sent, serializer := f.version(res)
	audit.Response(r.Context(), obj, sent, serializer)
	encoder, err := f.Encoder(res)
	if err != nil {
		Error(w, r, res, err)
		return
	}
	send(w, r, res, status, f.MediaType(), encoder, obj)
}

func send(w http.ResponseWriter, r *http.Request, res *resource.Resource, status int, mediaType string, encoder runtime.Encoder, obj runtime.Object) {
	body := NewBody(w, r, status, mediaType)
	if err := encoder.Encode(obj, body); err != nil {
		body.Discard()
		if !body.Started() {
			Error(w, r, res, fmt.Errorf("unable to write a %s response: %w", mediaType, err))
		}
		return
	}
	_ = body.Close() // the client is gone, there is nobody to tell
}

// Written answers a write like [Object], with the stored bytes themselves if
// they are what the client asks for and obj is still that version.
func Written(w http.ResponseWriter, r *http.Request, res *resource.Resource, status int, obj runtime.Object, stored *storage.Object) {
	if stored != nil && res.Exact && sameVersion(obj, stored) && !audit.WantsResponse(r.Context()) {
		if f, err := Negotiate(r, res); err == nil && f.Target == nil && f.MediaType() == runtime.ContentTypeProtobuf {
			Bytes(w, r, status, f.MediaType(), stored.Value())
			return
		}
	}
	if stored != nil && res.Document != nil && sameVersion(obj, stored) && !audit.WantsResponse(r.Context()) {
		if f, err := Negotiate(r, res); err == nil && f.Target == nil && f.MediaType() == runtime.ContentTypeJSON && !f.Pretty {
			if document, ok := res.Document(stored); ok {
				Document(w, r, status, f.MediaType(), document)
				return
			}
		}
	}
	Object(w, r, res, status, obj)
}

// Document answers with a JSON document, on a line of its own as encoders write it.
func Document(w http.ResponseWriter, r *http.Request, status int, mediaType string, document []byte) {
	body := make([]byte, 0, len(document)+1)
	Bytes(w, r, status, mediaType, append(append(body, document...), '\n'))
}

func sameVersion(obj runtime.Object, stored *storage.Object) bool {
	m, err := meta.Accessor(obj)
	return err == nil && string(m.GetUID()) == stored.UID && m.GetResourceVersion() == strconv.FormatInt(stored.Revision, 10)
}
