package read

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server/encode"
)

// A listWriter writes a list, object by object.
type listWriter func(ctx context.Context, body *encode.Body) error

func (e *endpoint) jsonList(p *page) listWriter {
	return jsonArray(p, e.types.listHead, `,"items":[`, func(dst []byte, i int) ([]byte, error) {
		return e.appendJSON(dst, p.objects[i])
	})
}

func (e *endpoint) jsonMetadataList(p *page, format encode.Format) listWriter {
	start := append(head(*format.Target), `"metadata":`...)
	item := append(head(format.Target.GroupVersion().WithKind("PartialObjectMetadata")), `"metadata":`...)
	return jsonArray(p, start, `,"items":[`, func(dst []byte, i int) ([]byte, error) {
		dst, err := e.appendMetadata(append(dst, item...), p.objects[i])
		return append(dst, '}'), err
	})
}

// jsonArray writes start, the list's metadata, what is between it and the items,
// and the items, which appendItem appends.
func jsonArray(p *page, start []byte, between string, appendItem func(dst []byte, i int) ([]byte, error)) listWriter {
	return func(ctx context.Context, body *encode.Body) error {
		m, err := json.Marshal(&p.meta)
		if err != nil {
			return err
		}
		for _, part := range [][]byte{start, m, []byte(between)} {
			if _, err := body.Write(part); err != nil {
				return err
			}
		}
		produce := func(dst []byte, i int) ([]byte, error) {
			if i > 0 {
				dst = append(dst, ',')
			}
			return appendItem(dst, i)
		}
		write := func(items []byte) error {
			_, err := body.Write(items)
			return err
		}
		if err := inOrder(ctx, len(p.objects), produce, write); err != nil {
			return err
		}
		_, err = body.Write([]byte("]}\n"))
		return err
	}
}

// tableList writes a Table; the page has at least one object.
func (e *endpoint) tableList(p *page, format encode.Format, options *metav1.TableOptions) listWriter {
	return func(ctx context.Context, body *encode.Body) error {
		lister, err := e.lister()
		if err != nil {
			return err
		}
		table, err := e.Table.ConvertToTable(ctx, lister.NewList(), options)
		if err != nil {
			return err
		}
		columns, err := json.Marshal(table.ColumnDefinitions)
		if err != nil {
			return err
		}
		start := append(head(*format.Target), `"metadata":`...)
		between := `,"columnDefinitions":` + string(columns) + `,"rows":[`
		rows := e.rows(ctx, format, options)
		return jsonArray(p, start, between, func(dst []byte, i int) ([]byte, error) { return rows.append(dst, p.objects[i]) })(ctx, body)
	}
}
