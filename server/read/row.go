package read

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/storage"
)

// rows makes the rows of Tables. They are made anew for each request: cells have
// ages, which are relative to now.
type rows struct {
	*endpoint
	ctx     context.Context
	format  encode.Format
	options *metav1.TableOptions
	head    []byte // of the metadata of a row's object
}

func (e *endpoint) rows(ctx context.Context, format encode.Format, options *metav1.TableOptions) *rows {
	plain := *options
	plain.NoHeaders = true
	return &rows{
		endpoint: e, ctx: ctx, format: format, options: &plain,
		head: append(head(format.Target.GroupVersion().WithKind("PartialObjectMetadata")), `"metadata":`...),
	}
}

// append appends the rows of one object in JSON, which are one for all kinds
// that there are.
func (rs *rows) append(dst []byte, o *storage.Object) ([]byte, error) {
	hub, err := rs.hub(o)
	if err != nil {
		return nil, err
	}
	table, err := rs.Table.ConvertToTable(rs.ctx, hub, rs.options)
	if err != nil {
		return nil, err
	}
	for i := range table.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = rs.row(dst, o, &table.Rows[i]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func (rs *rows) row(dst []byte, o *storage.Object, row *metav1.TableRow) ([]byte, error) {
	if include := rs.options.IncludeObject; include != "" && include != metav1.IncludeMetadata || !isProtobuf(o) {
		if err := rs.format.Include(rs.Resource, rs.options, row); err != nil {
			return nil, err
		}
		b, err := json.Marshal(row)
		return append(dst, b...), err
	}
	cells, err := json.Marshal(struct {
		Cells      []any                      `json:"cells"`
		Conditions []metav1.TableRowCondition `json:"conditions,omitempty"`
	}{row.Cells, row.Conditions})
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	dst = append(dst, cells[:len(cells)-1]...)
	dst = append(dst, `,"object":`...)
	dst = append(dst, rs.head...)
	dst, err = rs.appendMetadata(dst, o)
	return append(dst, `}}`...), err
}
