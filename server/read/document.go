package read

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/storage"
)

// Rows whose objects are stored as JSON documents, custom resources, are answered
// from the documents where they are what decoding and encoding them would give.

// takesDocuments says whether the answer is made of documents.
func (e *endpoint) takesDocuments(format encode.Format, r *http.Request) bool {
	return e.Document != nil && format.MediaType() == runtime.ContentTypeJSON && format.Target == nil &&
		!format.Pretty && !audit.WantsResponse(r.Context())
}

// document is the object's JSON. One that has to be made is kept for the next time.
func (e *endpoint) document(ctx context.Context, o *storage.Object) ([]byte, error) {
	if document, ok := e.Document(o); ok {
		return document, nil
	}
	return e.deps.Store.Encoding(o, e.types.jsonKey, func() ([]byte, error) { return e.decodedDocument(ctx, o) })
}

func (e *endpoint) decodedDocument(ctx context.Context, o *storage.Object) ([]byte, error) {
	obj, err := e.hubWithin(ctx, o)
	if err != nil {
		return nil, err
	}
	return e.encodeDocument(obj)
}

func (e *endpoint) encodeDocument(obj runtime.Object) ([]byte, error) {
	info, ok := runtime.SerializerInfoForMediaType(e.Serializer.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("the resource has no JSON encoding"))
	}
	var b bytes.Buffer
	if err := e.Serializer.EncoderForVersion(info.Serializer, e.Kind.GroupVersion()).Encode(obj, &b); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// documentList writes a list of documents: the empty list with them put in.
func (e *endpoint) documentList(ctx context.Context, p *page) (listWriter, error) {
	list, err := e.whole(ctx, &page{meta: p.meta})
	if err != nil {
		return nil, err
	}
	empty, err := e.encodeDocument(list)
	if err != nil {
		return nil, err
	}
	start, end, found := bytes.Cut(empty, []byte(`"items":[]`))
	if !found {
		return nil, apierrors.NewInternalError(errors.New("an empty list has no items"))
	}
	return func(ctx context.Context, body *encode.Body) error {
		produce := func(dst []byte, i int) ([]byte, error) {
			if i > 0 {
				dst = append(dst, ',')
			}
			document, err := e.document(ctx, p.objects[i])
			return append(dst, document...), err
		}
		write := func(text []byte) error {
			_, err := body.Write(text)
			return err
		}
		if err := errors.Join(write(start), write([]byte(`"items":[`))); err != nil {
			return err
		}
		if err := inOrder(ctx, len(p.objects), produce, write); err != nil {
			return err
		}
		return errors.Join(write([]byte("]")), write(end), write([]byte("\n")))
	}, nil
}

// subject is the object as far as the format shows it, in the hub version: of a
// document that becomes its metadata nothing else is decoded.
func (e *endpoint) subject(ctx context.Context, o *storage.Object, format encode.Format) (runtime.Object, error) {
	if e.Document == nil || !format.As("PartialObjectMetadata") || o.Err != nil {
		return e.hubWithin(ctx, o)
	}
	partial := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(o.Value(), partial); err != nil {
		return e.hubWithin(ctx, o) // which may repair it
	}
	return partial, nil
}
