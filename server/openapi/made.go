package openapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// A Source has documents of what comes and goes while the server runs.
type Source interface {
	// Tags are, for each document below /openapi/v3 ("apis/example.com/v1"), what
	// tells its present content from others.
	Tags() map[string]string
	// V3 makes a document, in JSON.
	V3(ctx context.Context, path string) ([]byte, error)
	// AddV2 returns the document with what the source has to add. It may change the
	// given one.
	AddV2(ctx context.Context, swagger *spec.Swagger) (*spec.Swagger, error)
}

// maxMade is how many documents are kept that were made.
const maxMade = 64

// made keeps documents of sources, compressed, for the clients that come next.
type made struct {
	mu   sync.Mutex // also while one is made, so that many who ask cost no more than one
	kept map[string]*madeDocument
}

type madeDocument struct {
	etag  string
	forms map[string][]byte // by suffix
}

func (m *made) v3(ctx context.Context, source Source, path, etag string) document {
	return document{etag, func(form *form) ([]byte, error) {
		return m.get(path, etag, form, handler3.ToV3ProtoBinary, func() ([]byte, error) { return source.V3(ctx, path) })
	}}
}

func (m *made) v2(ctx context.Context, own document, sources []Source, etag string) document {
	return document{etag, func(form *form) ([]byte, error) {
		return m.get("v2", etag, form, handler.ToProtoBinary, func() ([]byte, error) {
			compressed, err := own.compressed(&v2Forms[0])
			if err != nil {
				return nil, err
			}
			text, err := decompress(compressed)
			if err != nil {
				return nil, err
			}
			swagger := &spec.Swagger{}
			if err := json.Unmarshal(text, swagger); err != nil {
				return nil, fmt.Errorf("read the embedded OpenAPI document: %w", err)
			}
			for _, source := range sources {
				if swagger, err = source.AddV2(ctx, swagger); err != nil {
					return nil, err
				}
			}
			return json.Marshal(swagger)
		})
	}}
}

// get returns a form of a document, which is made unless it is kept.
func (m *made) get(path, etag string, form *form, toProtobuf func([]byte) ([]byte, error), make func() ([]byte, error)) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.kept[path]
	if d == nil || d.etag != etag {
		text, err := make()
		if err != nil {
			return nil, err
		}
		compressed, err := compress(text)
		if err != nil {
			return nil, err
		}
		d = &madeDocument{etag, map[string][]byte{jsonSuffix: compressed}}
		if m.kept == nil || len(m.kept) >= maxMade {
			m.kept = map[string]*madeDocument{}
		}
		m.kept[path] = d
	}
	if d.forms[form.suffix] == nil {
		text, err := decompress(d.forms[jsonSuffix])
		if err != nil {
			return nil, err
		}
		binary, err := toProtobuf(text)
		if err != nil {
			return nil, err
		}
		if d.forms[form.suffix], err = compress(binary); err != nil {
			return nil, err
		}
	}
	return d.forms[form.suffix], nil
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}
