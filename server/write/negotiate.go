package write

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/howdah/howdah/server/encode"
)

// negotiate refuses a request whose answer could not be given, before it
// changes anything.
func (e *endpoint) negotiate(r *http.Request) error {
	_, err := encode.Negotiate(r, e.Resource)
	return err
}

// unsupported is what a row answers whose storage lacks the verb.
func (e *endpoint) unsupported(verb string) error {
	return apierrors.NewMethodNotSupported(e.GroupResource(), verb)
}
