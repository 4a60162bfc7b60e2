package write

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
)

// maxOperations of one JSON patch.
const maxOperations = 10000

// maxCopied bounds the bytes that the copy operations of one patch add, which
// else double a document with each operation. The library only has a variable
// for it, which must not change once patches are applied.
const maxCopied = 3 << 20

var _ = func() struct{} {
	jsonpatch.AccumulatedCopySizeLimit = maxCopied
	return struct{}{}
}()

// A jsonPatchOp is what an operation may consist of. Clients see the name, with
// upstream's package, when they send something else.
type jsonPatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

// jsonPatch applies an RFC 6902 patch.
func (p *patch) jsonPatch(ctx context.Context, current runtime.Object) (runtime.Object, error) {
	var found []error
	if p.validation.looks() {
		var operations []jsonPatchOp
		strict, err := kjson.UnmarshalStrict(p.body, &operations)
		if err != nil {
			return nil, apierrors.NewBadRequest("error decoding patch: " + strings.ReplaceAll(err.Error(), "write.jsonPatchOp", "handlers.jsonPatchOp"))
		}
		for _, finding := range strict {
			found = append(found, fmt.Errorf("json patch %w", finding))
		}
	}
	operations, err := jsonpatch.DecodePatch(p.body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(operations) > maxOperations {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(operations)))
	}
	document, err := p.document(current)
	if err != nil {
		return nil, err
	}
	patched, err := operations.Apply(document)
	if err != nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return p.fromDocument(ctx, patched, found)
}

// document is the object as clients see it, in JSON.
func (p *patch) document(current runtime.Object) ([]byte, error) {
	return runtime.Encode(p.decoders.toJSON, current)
}

// fromDocument decodes the patched document; found is what was wrong with the
// patch itself.
func (p *patch) fromDocument(ctx context.Context, document []byte, found []error) (runtime.Object, error) {
	obj := p.empty()
	if err := runtime.DecodeInto(p.decoders.json.forValidation(p.validation), document, obj); err != nil {
		strict, is := runtime.AsStrictDecodingError(err)
		if !is {
			return nil, invalidPatch(string(document), err)
		}
		found = append(found, strict.Errors()...)
	}
	return obj, p.findings(ctx, found, func() string { return string(document) })
}
