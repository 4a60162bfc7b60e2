package encode

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/util/apihelpers"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// Error answers with an error of any kind as a Status. res may be nil. It must
// not be called once a body was started.
func Error(w http.ResponseWriter, r *http.Request, res *resource.Resource, err error) {
	status := Status(r, res, err)
	serializer, gv := runtime.NegotiatedSerializer(apihelpers.GetMetaInternalVersionCodecs()), schema.GroupVersion{Version: "v1"}
	if res != nil {
		serializer, gv = res.Serializer, res.Kind.GroupVersion()
	}
	audit.Response(r.Context(), status, gv, serializer)
	code := int(status.Code)
	header := w.Header()
	header.Set("Cache-Control", "no-cache, private")
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		header.Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	if code == http.StatusNoContent {
		w.WriteHeader(code)
		return
	}
	_, info, negotiationErr := negotiation.NegotiateOutputMediaType(r, serializer, negotiation.DefaultEndpointRestrictions)
	if negotiationErr != nil {
		responsewriters.WriteRawJSON(code, status, w)
		return
	}
	body := NewBody(w, r, code, info.MediaType)
	encoder := serializer.EncoderForVersion(runtime.UseNondeterministicEncoding(info.Serializer), gv)
	if err := encoder.Encode(status, body); err != nil {
		body.Discard()
		responsewriters.WriteRawJSON(code, status, w)
		return
	}
	_ = body.Close() // the client is gone, there is nobody to tell
}

// Status is what a client is told of an error. res may be nil.
func Status(r *http.Request, res *resource.Resource, err error) *metav1.Status {
	var api apierrors.APIStatus
	switch {
	case errors.As(err, &api):
		if e, ok := api.(error); ok {
			err = e // what is wrapped around it is not the client's
		}
	case errors.Is(err, context.DeadlineExceeded):
		err = apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The client is gone: nobody reads this, and there is nothing to log.
		err = apierrors.NewTimeoutError("the client closed the request", 0)
	case res != nil:
		name := ""
		if info, ok := request.RequestInfoFrom(r.Context()); ok {
			name = info.Name
		}
		err = objects.APIError(err, res.GroupResource(), name)
	}
	return responsewriters.ErrorToAPIStatus(err)
}
