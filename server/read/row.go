package read

import (
	"context"
	"encoding/json"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/transcode"
	"github.com/howdah/howdah/storage"
)

// printed are the fields that upstream's printers read, of resources that there
// are many of.
var printed = map[schema.GroupResource][]string{
	{Resource: "pods"}: {
		"metadata.name", "metadata.creationTimestamp", "metadata.deletionTimestamp",
		// Containers are counted. Their policy would be reckoned from their image
		// if there were none, which takes long.
		"spec.containers.imagePullPolicy", "spec.initContainers.imagePullPolicy",
		"spec.initContainers.name", "spec.initContainers.restartPolicy",
		"spec.nodeName", "spec.readinessGates",
		"status.phase", "status.reason", "status.podIP", "status.podIPs", "status.nominatedNodeName",
		"status.conditions.type", "status.conditions.status", "status.conditions.reason",
		"status.containerStatuses.ready", "status.containerStatuses.restartCount",
		"status.containerStatuses.state", "status.containerStatuses.lastState",
		"status.initContainerStatuses.name", "status.initContainerStatuses.started",
		"status.initContainerStatuses.ready", "status.initContainerStatuses.restartCount",
		"status.initContainerStatuses.state", "status.initContainerStatuses.lastState",
	},
}

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
	hub, err := rs.printed(o)
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

// printed is as much of the object as its row needs.
func (rs *rows) printed(o *storage.Object) (runtime.Object, error) {
	if rs.types.printed == nil || !rs.fromBytes(o) {
		return rs.hub(o)
	}
	hub, err := rs.Objects.DecodePart(o, rs.types.printed)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return hub, nil
}

// fromBytes says whether what a row has beside its cells comes from the stored
// bytes.
func (rs *rows) fromBytes(o *storage.Object) bool {
	include := rs.options.IncludeObject
	return (include == "" || include == metav1.IncludeMetadata) && isProtobuf(o)
}

func (rs *rows) row(dst []byte, o *storage.Object, row *metav1.TableRow) ([]byte, error) {
	if !rs.fromBytes(o) {
		if err := rs.format.Include(rs.Resource, rs.options, row); err != nil {
			return nil, err
		}
		b, err := json.Marshal(row)
		return append(dst, b...), err
	}
	dst, err := appendCells(append(dst, `{"cells":`...), row.Cells)
	if err != nil {
		return nil, err
	}
	if len(row.Conditions) > 0 {
		conditions, err := json.Marshal(row.Conditions)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		dst = append(append(dst, `,"conditions":`...), conditions...)
	}
	dst = append(dst, `,"object":`...)
	dst = append(dst, rs.head...)
	dst, err = rs.appendMetadata(dst, o)
	return append(dst, `}}`...), err
}

// appendCells appends cells as encoding/json writes them.
func appendCells(dst []byte, cells []any) ([]byte, error) {
	if cells == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	for i, cell := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch cell := cell.(type) {
		case string:
			dst = transcode.AppendString(dst, []byte(cell))
		case int64:
			dst = strconv.AppendInt(dst, cell, 10)
		default:
			b, err := json.Marshal(cell)
			if err != nil {
				return nil, apierrors.NewInternalError(err)
			}
			dst = append(dst, b...)
		}
	}
	return append(dst, ']'), nil
}
