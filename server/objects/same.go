package objects

import (
	"bytes"

	"github.com/howdah/howdah/storage"
)

// sameValue says whether storing data would leave the object as it is.
func sameValue(data []byte, o *storage.Object) bool {
	if o.Err != nil {
		return bytes.Equal(data, o.Value())
	}
	// The revision adds a few bytes.
	const most = 64
	if len(data) > o.Len() || len(data)+most < o.Len() {
		return false
	}
	if bytes.HasPrefix(data, []byte(protobufMagic())) {
		e, err := scanEnvelope(data)
		if err != nil {
			return false
		}
		value, _ := e.splice(data, o.Revision)
		return bytes.Equal(value, o.Value())
	}
	value, err := spliceJSON(data, o.Revision)
	return err == nil && bytes.Equal(value, o.Value())
}
