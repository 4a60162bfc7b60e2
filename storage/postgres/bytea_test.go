package postgres

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// TestByteaArrays compares with pgx's own encoding.
func TestByteaArrays(t *testing.T) {
	types := pgtype.NewMap()
	standard, _ := types.TypeForOID(pgtype.ByteaArrayOID)
	for name, value := range map[string][][]byte{
		"null":            nil,
		"empty":           {},
		"one":             {[]byte("a")},
		"empty and null":  {{}, nil, []byte("b")},
		"of several size": {bytes.Repeat([]byte("x"), 3000), []byte("y"), bytes.Repeat([]byte("z"), 70000)},
	} {
		t.Run(name, func(t *testing.T) {
			ours := pgtype.NewMap()
			ours.RegisterType(&pgtype.Type{Name: standard.Name, OID: standard.OID, Codec: byteaArrays{standard.Codec}})
			for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
				want, err := types.Encode(pgtype.ByteaArrayOID, format, value, []byte("before"))
				if err != nil {
					t.Fatal(err)
				}
				got, err := ours.Encode(pgtype.ByteaArrayOID, format, value, []byte("before"))
				if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
					t.Errorf("format %d: %q, %v; pgx: %q", format, got, err, want)
				}
			}
		})
	}
}
