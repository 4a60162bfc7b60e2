package audit

import (
	"context"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditapi "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"

	"github.com/howdah/howdah/server/resource"
)

// Request records the object that a request sent; serializer may be nil for the
// row's own.
func Request(ctx context.Context, res *resource.Resource, obj runtime.Object, sent schema.GroupVersion, serializer runtime.NegotiatedSerializer) {
	if audit.AuditContextFrom(ctx) == nil {
		return
	}
	if serializer == nil {
		serializer = res.Serializer
	}
	if !wants(ctx, auditapi.LevelRequest) {
		serializer = unrecorded{serializer}
	}
	audit.LogRequestObject(ctx, obj, sent, res.GroupVersionResource, res.Subresource, serializer)
}

// unrecorded is the serializer of objects that the level leaves out of events:
// upstream encodes them all the same, which costs more than the event.
type unrecorded struct{ runtime.NegotiatedSerializer }

func (unrecorded) EncoderForVersion(runtime.Encoder, runtime.GroupVersioner) runtime.Encoder {
	return nothing{}
}

type nothing struct{}

func (nothing) Encode(runtime.Object, io.Writer) error { return nil }
func (nothing) Identifier() runtime.Identifier         { return "nothing" }

// Patch records a patch; toJSON makes it, and is only called if it is wanted.
func Patch(ctx context.Context, toJSON func() ([]byte, error)) {
	if !wants(ctx, auditapi.LevelRequest) {
		return
	}
	if patch, err := toJSON(); err == nil {
		audit.LogRequestPatch(ctx, patch)
	}
}

// WantsResponse says whether the answer's object will be recorded.
func WantsResponse(ctx context.Context) bool { return wants(ctx, auditapi.LevelRequestResponse) }

// Response records the object of an answer, in the version that it is sent in.
func Response(ctx context.Context, obj runtime.Object, sent schema.GroupVersion, serializer runtime.NegotiatedSerializer) {
	if audit.AuditContextFrom(ctx) != nil {
		audit.LogResponseObject(ctx, obj, sent, serializer)
	}
}

func wants(ctx context.Context, level auditapi.Level) bool {
	ac := audit.AuditContextFrom(ctx)
	return ac != nil && !ac.GetEventLevel().Less(level)
}
