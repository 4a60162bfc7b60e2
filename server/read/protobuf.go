package read

import (
	"context"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/encode"
)

// protobufMagic starts every answer in protobuf.
const protobufMagic = "k8s\x00"

// Tags of runtime.Unknown, of lists, and of messages with metadata, all of them
// length-delimited.
const (
	tagTypeMeta        = 1<<3 | 2
	tagRaw             = 2<<3 | 2
	tagContentEncoding = 3<<3 | 2
	tagContentType     = 4<<3 | 2

	tagListMeta = 1<<3 | 2
	tagItem     = 2<<3 | 2

	tagObjectMeta = 1<<3 | 2
)

func (e *endpoint) protobufList(p *page) listWriter {
	if e.Exact {
		return protobufArray(p, e.types.list, nil, func(i int) ([]byte, error) { return e.protobuf(p.objects[i]) })
	}
	// The lengths have to be known first, so the items can't be made as they go.
	return func(ctx context.Context, body *encode.Body) error {
		items := make([][]byte, len(p.objects))
		err := inOrder(ctx, len(items),
			func(dst []byte, i int) (_ []byte, err error) {
				items[i], err = e.protobuf(p.objects[i])
				return dst, err
			},
			func([]byte) error { return nil })
		if err != nil {
			return err
		}
		return protobufArray(p, e.types.list, nil, func(i int) ([]byte, error) { return items[i], nil })(ctx, body)
	}
}

func (e *endpoint) protobufMetadataList(p *page, format encode.Format) listWriter {
	return protobufArray(p, *format.Target, []byte{tagObjectMeta}, func(i int) ([]byte, error) { return e.metadata(p.objects[i]) })
}

// protobufArray writes a list. item is called twice for each, first for its
// size. If wrap is not nil each item is the field of a message that has only it,
// and wrap is its tag.
func protobufArray(p *page, kind schema.GroupVersionKind, wrap []byte, item func(i int) ([]byte, error)) listWriter {
	return func(ctx context.Context, body *encode.Body) error {
		listMeta, err := p.meta.Marshal()
		if err != nil {
			return err
		}
		size := 1 + protowire.SizeBytes(len(listMeta))
		for i := range p.objects {
			b, err := item(i)
			if err != nil {
				return err
			}
			n := len(b)
			if wrap != nil {
				n = len(wrap) + protowire.SizeBytes(n)
			}
			size += 1 + protowire.SizeBytes(n)
		}
		header := envelopeStart(kind, size)
		header = append(header, tagListMeta)
		header = protowire.AppendBytes(header, listMeta)
		if _, err := body.Write(header); err != nil {
			return err
		}
		var framing [32]byte
		for i := range p.objects {
			b, err := item(i)
			if err != nil {
				return err
			}
			f := append(framing[:0], tagItem)
			if wrap != nil {
				f = protowire.AppendVarint(f, uint64(len(wrap)+protowire.SizeBytes(len(b))))
				f = append(f, wrap...)
			}
			f = protowire.AppendVarint(f, uint64(len(b)))
			if _, err := body.Write(f); err != nil {
				return err
			}
			if _, err := body.Write(b); err != nil {
				return err
			}
			const some = 256
			if i%some == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		_, err = body.Write(envelopeEnd())
		return err
	}
}

// envelopeStart is what comes before a message of the size.
func envelopeStart(kind schema.GroupVersionKind, size int) []byte {
	typeMeta, _ := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{ // two strings
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind,
	}}).Marshal()
	// Its first field is the type, the others are empty.
	_, _, n := protowire.ConsumeField(typeMeta)
	b := append([]byte(protobufMagic), typeMeta[:n]...)
	b = append(b, tagRaw)
	return protowire.AppendVarint(b, uint64(size))
}

// envelopeEnd is what comes after the message.
func envelopeEnd() []byte { return []byte{tagContentEncoding, 0, tagContentType, 0} }
