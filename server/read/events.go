package read

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

const bookmarkType, errorType = "BOOKMARK", "ERROR"

// events makes the frames of a watch in the format that its client wants.
type events struct {
	*endpoint
	ctx      context.Context
	format   encode.Format
	encoder  runtime.Encoder
	table    *metav1.TableOptions // nil: events aren't tables
	first    bool                 // the next table is the first, which has headers
	compress bool
	keys     map[string]any // of shared frames, by type of event
	head     []byte         // of the last frame that was made in parts
}

func (e *endpoint) events(r *http.Request, options *metainternal.ListOptions) (*events, error) {
	format, err := encode.NegotiateStream(r, e.Resource)
	if err != nil {
		return nil, err
	}
	table, err := format.TableOptions(r)
	if err != nil {
		return nil, err
	}
	encoder, err := format.Encoder(e.Resource)
	if err != nil {
		return nil, err
	}
	watchList := options.SendInitialEvents != nil && *options.SendInitialEvents && options.AllowWatchBookmarks
	ev := &events{
		endpoint: e, ctx: r.Context(), format: format, encoder: encoder,
		table: table, first: table != nil,
		compress: watchList && !wsstream.IsWebSocketRequest(r) && !fromHere(r) &&
			responsewriters.ContentEncodingSupported(r, features.WatchListCompression) != "",
	}
	form := e.Kind.String() + " " + format.StreamMediaType()
	if format.Target != nil {
		form += " " + format.Target.String()
	}
	if table != nil {
		form += " " + string(table.IncludeObject)
	}
	if ev.compress {
		form += " gzip"
	}
	ev.keys = map[string]any{}
	for _, kind := range []string{storage.Added, storage.Modified, storage.Deleted} {
		ev.keys[kind] = form + " " + kind
	}
	return ev, nil
}

// fromHere tells whether a client is on this server's machine: compressing what
// never leaves it only costs both of them.
func fromHere(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	here, _, err := net.SplitHostPort(local.String())
	there, _, remoteErr := net.SplitHostPort(r.RemoteAddr)
	return err == nil && remoteErr == nil && here == there
}

// delivery returns the frame of a change, made once for all watchers if shared.
// Shared frames are compressed already.
func (ev *events) delivery(d *storage.Delivery) (frame []byte, shared bool, err error) {
	if ev.first {
		frame, err = ev.change(d)
		return frame, false, err
	}
	frame, err = d.Change.Encoding(ev.keys[d.Type], func() ([]byte, error) {
		frame, err := ev.change(d)
		if err == nil && ev.compress {
			frame, err = gzipMember(frame)
		}
		return frame, err
	})
	return frame, true, err
}

// joinedSize is the size from which on objects may be kept packed, so that they
// are better unpacked once for all watchers.
const joinedSize = 16 << 10

// parts are the frame of a change whose object is sent from where it is kept. It
// need not be joined and kept for other watchers.
type parts struct{ head, object, tail []byte }

// apart returns a frame in parts, which are good until the next call. false: it
// isn't made that way.
func (ev *events) apart(d *storage.Delivery) (parts, bool) {
	o := d.Object
	if ev.compress || d.Type == storage.Deleted || o.Err != nil || o.Len() >= joinedSize {
		return parts{}, false
	}
	switch {
	case ev.verbatim(o):
		object := o.Value()
		ev.head = appendProtobufHead(ev.head[:0], d.Type, len(object))
		return parts{ev.head, object, nil}, true
	case ev.metadataOnly(o):
		m, err := ev.metadata(o)
		if err != nil {
			return parts{}, false
		}
		envelope, end := ev.metadataEnvelope(len(m))
		ev.head = append(appendProtobufHead(ev.head[:0], d.Type, len(envelope)+len(m)+len(end)), envelope...)
		return parts{ev.head, m, end}, true
	}
	return parts{}, false
}

// verbatim is whether events have the object as it is kept.
func (ev *events) verbatim(o *storage.Object) bool {
	return ev.inProtobuf(o) && ev.format.Target == nil && ev.Exact
}

// metadataOnly is whether events have only its metadata, as it is kept.
func (ev *events) metadataOnly(o *storage.Object) bool {
	return ev.inProtobuf(o) && ev.format.As("PartialObjectMetadata")
}

func (ev *events) inProtobuf(o *storage.Object) bool {
	return ev.types.native && isProtobuf(o) && ev.table == nil && ev.format.MediaType() == runtime.ContentTypeProtobuf
}

// metadataEnvelope is what stands around metadata of the size.
func (ev *events) metadataEnvelope(size int) (start, end []byte) {
	start = append(envelopeStart(*ev.format.Target, 1+protowire.SizeBytes(size)), tagObjectMeta)
	return protowire.AppendVarint(start, uint64(size)), envelopeEnd()
}

func (ev *events) change(d *storage.Delivery) ([]byte, error) {
	o := d.Object
	if err := objects.Unreadable(o); err != nil && d.Type == storage.Deleted {
		return nil, objects.DeletedUnreadable(o.Key, err)
	}
	if o.Err != nil {
		return nil, objects.ReadError(o)
	}
	if d.Type == storage.Deleted {
		var err error
		if o, err = ev.Objects.AtRevision(o, d.Change.Revision); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	// The frame is kept, so it gets just the memory that it needs.
	scratch := pooled.frames.Get().(*[]byte)
	frame, err := ev.append((*scratch)[:0], d.Type, o, ev.appendJSONOnce)
	if err != nil {
		return nil, err
	}
	kept := bytes.Clone(frame)
	if cap(frame) <= sinkBufferSize {
		*scratch = frame
		pooled.frames.Put(scratch)
	}
	return kept, nil
}

// appendAdded appends the frame of an object that was there before the watch.
func (ev *events) appendAdded(dst []byte, o *storage.Object) ([]byte, error) {
	if o.Err != nil {
		return nil, objects.ReadError(o)
	}
	return ev.append(dst, storage.Added, o, ev.appendJSON)
}

// append appends the frame of an object, whose JSON is made by item if it is
// needed.
func (ev *events) append(dst []byte, kind string, o *storage.Object, item func(dst []byte, o *storage.Object) ([]byte, error)) ([]byte, error) {
	media, native := ev.format.MediaType(), ev.types.native && isProtobuf(o)
	switch {
	case ev.verbatim(o):
		return appendProtobufFrame(dst, kind, o.Value()), nil
	case !native || ev.table != nil:
	case ev.format.Target == nil && media == runtime.ContentTypeJSON:
		dst = appendJSONStart(dst, kind)
		at := len(dst) + len(ev.types.objectHead) - 1
		dst, err := item(append(dst, ev.types.objectHead[1:]...), o)
		if err != nil {
			return nil, err
		}
		copy(dst[at-len(ev.types.objectHead)+1:], ev.types.objectHead) // over the brace of the item
		return append(dst, jsonEnd...), nil
	case ev.metadataOnly(o):
		m, err := ev.metadata(o)
		if err != nil {
			return nil, err
		}
		start, end := ev.metadataEnvelope(len(m))
		return appendProtobufFrame(dst, kind, slices.Concat(start, m, end)), nil
	}
	if ev.Document != nil && ev.table == nil && ev.format.Target == nil && media == runtime.ContentTypeJSON {
		document, ok := ev.Document(o)
		if !ok {
			var err error
			if document, err = ev.decodedDocument(ev.ctx, o); err != nil {
				return nil, err
			}
		}
		return append(append(appendJSONStart(dst, kind), document...), jsonEnd...), nil
	}
	obj, err := ev.subject(ev.ctx, o, ev.format)
	if err != nil {
		return nil, err
	}
	frame, err := ev.encoded(kind, obj)
	return append(dst, frame...), err
}

// encoded is the frame of a decoded object.
func (ev *events) encoded(kind string, obj runtime.Object) ([]byte, error) {
	options := ev.table
	if options != nil {
		headless := *options
		headless.NoHeaders = !ev.first
		options = &headless
		if ev.first {
			ev.first = false
		}
	}
	obj, err := ev.format.Transform(ev.ctx, ev.Resource, options, obj)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := ev.encoder.Encode(obj, &b); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	switch ev.format.MediaType() {
	case runtime.ContentTypeJSON:
		frame := append(appendJSONStart(nil, kind), bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		return append(frame, jsonEnd...), nil
	case runtime.ContentTypeProtobuf:
		return appendProtobufFrame(nil, kind, b.Bytes()), nil
	}
	return ev.otherFrame(kind, b.Bytes())
}

// otherFrame leaves the framing to the format's serializer.
func (ev *events) otherFrame(kind string, object []byte) ([]byte, error) {
	stream := ev.format.Accepted.StreamSerializer
	encoder := ev.Serializer.EncoderForVersion(runtime.UseNondeterministicEncoding(stream.Serializer), ev.Kind.GroupVersion())
	var event, frame bytes.Buffer
	err := encoder.Encode(&metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: object}}, &event)
	if err == nil {
		_, err = stream.Framer.NewFrameWriter(&frame).Write(event.Bytes())
	}
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return frame.Bytes(), nil
}

func (ev *events) status(status *metav1.Status) ([]byte, error) { return ev.encoded(errorType, status) }

// bookmark is an otherwise empty object with the revision.
func (ev *events) bookmark(revision int64, initialEnd bool) ([]byte, error) {
	obj := ev.Storage.New()
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("make a bookmark: %w", err))
	}
	m.SetResourceVersion(strconv.FormatInt(revision, 10))
	if initialEnd {
		if err := apistorage.AnnotateInitialEventsEndBookmark(obj); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	return ev.encoded(bookmarkType, obj)
}

// Frames of JSON are lines.
func appendJSONStart(dst []byte, kind string) []byte {
	dst = append(append(dst, `{"type":"`...), kind...)
	return append(dst, `","object":`...)
}

const jsonEnd = "}\n"

// protobufLength is how many bytes in front of an event give its length.
const protobufLength = 4

// appendProtobufFrame appends a metav1.WatchEvent after its length.
func appendProtobufFrame(dst []byte, kind string, object []byte) []byte {
	const head = 64 // at most, unless a kind of event is added
	return append(appendProtobufHead(slices.Grow(dst, head+len(object)), kind, len(object)), object...)
}

// appendProtobufHead appends all of it that stands in front of the object.
func appendProtobufHead(dst []byte, kind string, object int) []byte {
	const tagType, tagObject, tagObjectRaw = 1<<3 | 2, 2<<3 | 2, 1<<3 | 2
	raw := 1 + protowire.SizeBytes(object)
	size := 1 + protowire.SizeBytes(len(kind)) + 1 + protowire.SizeBytes(raw)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, tagType)
	dst = protowire.AppendString(dst, kind)
	dst = append(dst, tagObject)
	dst = protowire.AppendVarint(dst, uint64(raw))
	dst = append(dst, tagObjectRaw)
	return protowire.AppendVarint(dst, uint64(object))
}

// frameHeader is how many bytes of a frame only tell its length.
func (ev *events) frameHeader() int {
	if ev.format.MediaType() == runtime.ContentTypeProtobuf {
		return protobufLength
	}
	return 0
}
