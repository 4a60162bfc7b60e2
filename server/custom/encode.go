package custom

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"unsafe"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/howdah/howdah/server/transcode"
)

// A documentEncoder writes objects as upstream's encoder does, to the byte, but
// without reflection.
type documentEncoder struct{ runtime.Encoder }

func (e documentEncoder) Encode(obj runtime.Object, w io.Writer) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || u.Object == nil {
		return e.Encoder.Encode(obj, w)
	}
	const usual = 4 << 10
	document, err := appendValue(make([]byte, 0, usual), u.Object)
	if err != nil {
		return err
	}
	_, err = w.Write(append(document, '\n'))
	return err
}

func appendValue(out []byte, value any) ([]byte, error) {
	var err error
	switch value := value.(type) {
	case string:
		return transcode.AppendString(out, bytesOf(value)), nil
	case int64:
		return strconv.AppendInt(out, value, 10), nil
	case bool:
		return strconv.AppendBool(out, value), nil
	case map[string]any:
		if value == nil {
			return append(out, "null"...), nil
		}
		names := make([]string, 0, 32) // on the stack, mostly
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		out = append(out, '{')
		for i, name := range names {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(transcode.AppendString(out, bytesOf(name)), ':')
			if out, err = appendValue(out, value[name]); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	case []any:
		if value == nil {
			return append(out, "null"...), nil
		}
		out = append(out, '[')
		for i, item := range value {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendValue(out, item); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	}
	other, err := json.Marshal(value)
	return append(out, other...), err
}

// bytesOf is the text itself, to be read only.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }
