package read

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/encode"
)

func (e *endpoint) listOrWatch(w http.ResponseWriter, r *http.Request) error {
	format, err := encode.Negotiate(r, e.Resource)
	if err != nil {
		return err
	}
	options, err := e.listOptions(r)
	if err != nil {
		return err
	}
	if options.Watch {
		return e.watch(w, r, options)
	}
	return e.list(w, r, format, options)
}

func (e *endpoint) list(w http.ResponseWriter, r *http.Request, format encode.Format, options *metainternal.ListOptions) error {
	if e.Objects == nil {
		lister, err := e.lister()
		if err != nil {
			return err
		}
		list, err := lister.List(e.inNamespace(r), options)
		if err != nil {
			return err
		}
		format.Object(w, r, e.Resource, http.StatusOK, list)
		return nil
	}
	p, err := e.page(r.Context(), e.namespace(r), options)
	if err != nil {
		return err
	}
	write, err := e.listWriter(r, format, p)
	if err != nil {
		return err
	}
	if write != nil {
		body := encode.NewBody(w, r, http.StatusOK, format.MediaType())
		return finish(body, write(r.Context(), body))
	}
	if e.Document != nil && format.As("PartialObjectMetadataList") {
		list, err := e.metadataOnly(r.Context(), p)
		if err != nil {
			return err
		}
		format.Object(w, r, e.Resource, http.StatusOK, list)
		return nil
	}
	list, err := e.whole(r.Context(), p)
	if err != nil {
		return err
	}
	format.Object(w, r, e.Resource, http.StatusOK, list)
	return nil
}

// listWriter chooses how the list is written object by object; nil when its
// format is too rare for that.
func (e *endpoint) listWriter(r *http.Request, format encode.Format, p *page) (listWriter, error) {
	if e.takesDocuments(format, r) {
		return e.documentList(r.Context(), p)
	}
	if !e.types.native || format.Pretty || audit.WantsResponse(r.Context()) {
		return nil, nil
	}
	kind := ""
	if format.Target != nil {
		kind = format.Target.Kind
	}
	// Empty ones have null for their items in upstream's encoding.
	someMetadata := kind == "PartialObjectMetadataList" && format.Target.GroupVersion() == metav1.SchemeGroupVersion && len(p.objects) > 0
	switch media := format.MediaType(); {
	case kind == "" && media == runtime.ContentTypeJSON:
		return e.jsonList(p), nil
	case kind == "" && media == runtime.ContentTypeProtobuf:
		return e.protobufList(p), nil
	case kind == "Table" && media == runtime.ContentTypeJSON && len(p.objects) > 0:
		options, err := format.TableOptions(r)
		if err != nil {
			return nil, err
		}
		return e.tableList(p, format, options), nil
	case someMetadata && media == runtime.ContentTypeJSON:
		return e.jsonMetadataList(p, format), nil
	case someMetadata && media == runtime.ContentTypeProtobuf:
		return e.protobufMetadataList(p, format), nil
	}
	return nil, nil
}

// whole makes the list in memory, in the hub version.
func (e *endpoint) whole(ctx context.Context, p *page) (runtime.Object, error) {
	lister, err := e.lister()
	if err != nil {
		return nil, err
	}
	items := make([]runtime.Object, 0, len(p.objects))
	for _, o := range p.objects {
		item, err := e.hubWithin(ctx, o)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	list := lister.NewList()
	if err := meta.SetList(list, items); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("make a list of %s: %w", e.Resource, err))
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	m.SetResourceVersion(p.meta.ResourceVersion)
	m.SetContinue(p.meta.Continue)
	m.SetRemainingItemCount(p.meta.RemainingItemCount)
	return list, nil
}

// metadataOnly makes the list of documents' metadata in memory.
func (e *endpoint) metadataOnly(ctx context.Context, p *page) (runtime.Object, error) {
	list := &metav1.PartialObjectMetadataList{ListMeta: p.meta, Items: make([]metav1.PartialObjectMetadata, len(p.objects))}
	for i, o := range p.objects {
		if err := json.Unmarshal(o.Value(), &list.Items[i]); err == nil {
			continue
		}
		obj, err := e.hubWithin(ctx, o) // which may repair it
		if err != nil {
			return nil, err
		}
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		list.Items[i] = *meta.AsPartialObjectMetadata(m)
	}
	return list, nil
}
