package impersonation

import (
	"fmt"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/howdah/howdah/auth"
)

// Take removes the Impersonate- headers and returns the user that they ask for,
// as it was asked for; nil if there are none. Groups, UID or extra fields of
// nobody are a bad request.
func Take(header http.Header) (*user.DefaultInfo, error) {
	wanted := &user.DefaultInfo{
		Name:   header.Get(authenticationv1.ImpersonateUserHeader),
		UID:    header.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: header[authenticationv1.ImpersonateGroupHeader],
	}
	extra := false
	for name, values := range header {
		encoded, ok := strings.CutPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix)
		if !ok {
			continue
		}
		extra = true
		if len(values) == 0 {
			continue
		}
		if wanted.Extra == nil {
			wanted.Extra = map[string][]string{}
		}
		key := auth.ExtraKey(encoded)
		wanted.Extra[key] = append(wanted.Extra[key], values...)
	}
	if wanted.Name == "" {
		if wanted.UID != "" || len(wanted.Groups) > 0 || extra {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("requested %#v without impersonating a user name", wanted))
		}
		return nil, nil
	}
	for name := range header {
		switch {
		case name == authenticationv1.ImpersonateUserHeader, name == authenticationv1.ImpersonateUIDHeader, name == authenticationv1.ImpersonateGroupHeader,
			strings.HasPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix):
			delete(header, name)
		}
	}
	return wanted, nil
}
