package encode

import (
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What kube-apiserver's router answers before a request reaches its resource
// differs in form from what resources answer; these are its words.

// UnknownPath is its answer to a path below a served group that means nothing.
func UnknownPath() error { return routerError(http.StatusNotFound, "404: Page Not Found") }

// UnsupportedMethod is its answer to a method that the path does not have.
func UnsupportedMethod() error {
	return routerError(http.StatusMethodNotAllowed, "405: Method Not Allowed")
}

// Unacceptable is its answer to an Accept header that names none of the types.
func Unacceptable(mediaTypes []string) error {
	return routerError(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(mediaTypes, ", "))
}

// UnsupportedBody is its answer to a Content-Type that the path does not take.
func UnsupportedBody() error {
	return routerError(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
}

func routerError(code int, message string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", message, 0, false)
}

// Accepts reads an Accept header as go-restful does, which knows no wildcard but
// */* and no order.
func Accepts(accept string, mediaTypes []string) bool {
	if accept == "" {
		return true
	}
	for clause := range strings.SplitSeq(accept, ",") {
		asked, _, _ := strings.Cut(clause, ";")
		asked = strings.TrimSpace(asked)
		if asked == "*/*" {
			return true
		}
		for _, mediaType := range mediaTypes {
			if asked == mediaType {
				return true
			}
		}
	}
	return false
}
