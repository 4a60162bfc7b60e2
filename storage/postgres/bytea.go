package postgres

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// encodeBytesOnce makes a new connection encode arrays of byte strings, such as
// the values of a batch, into a buffer of the right size at once. pgx's own codec
// grows its buffer value by value, which for a batch allocates several times its
// size.
func encodeBytesOnce(_ context.Context, conn *pgx.Conn) error {
	types := conn.TypeMap()
	if t, ok := types.TypeForOID(pgtype.ByteaArrayOID); ok {
		types.RegisterType(&pgtype.Type{Name: t.Name, OID: t.OID, Codec: byteaArrays{t.Codec}})
	}
	return nil
}

type byteaArrays struct{ pgtype.Codec }

func (c byteaArrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([][]byte); ok && format == pgtype.BinaryFormatCode {
		return byteaArrayPlan{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

type byteaArrayPlan struct{}

// Encode appends the binary format of a one-dimensional array, see PostgreSQL's
// array_send: dimensions, whether there are nulls, element type, length and lower
// bound, then each element with its length, which is -1 for null.
func (byteaArrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	elements := value.([][]byte)
	if elements == nil {
		return nil, nil
	}
	const header, length = 5 * 4, 4
	size, nulls := header, 0
	for _, e := range elements {
		size += length + len(e)
		if e == nil {
			nulls = 1
		}
	}
	buf = slices.Grow(buf, size)
	word := func(n int) { buf = binary.BigEndian.AppendUint32(buf, uint32(n)) }
	word(1)
	word(nulls)
	word(pgtype.ByteaOID)
	word(len(elements))
	word(1)
	for _, e := range elements {
		if e == nil {
			word(-1)
			continue
		}
		word(len(e))
		buf = append(buf, e...)
	}
	return buf, nil
}
