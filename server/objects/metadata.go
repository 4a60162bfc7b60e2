package objects

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// MetadataOf is the encoded metadata of an object that is kept in protobuf; nil if
// it has none.
func MetadataOf(body []byte) ([]byte, error) {
	const objectMeta = 1
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, errBroken
		}
		if body = body[n:]; number == objectMeta && kind == protowire.BytesType {
			if value, n := protowire.ConsumeBytes(body); n >= 0 {
				return value, nil
			}
			return nil, errBroken
		}
		if n = protowire.ConsumeFieldValue(number, kind, body); n < 0 {
			return nil, errBroken
		}
		body = body[n:]
	}
	return nil, nil
}

var errBroken = apierrors.NewInternalError(errors.New("the stored bytes of an object are not valid protobuf"))
