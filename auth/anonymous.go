package auth

import (
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Anonymous lets requests without credentials in as system:anonymous.
type Anonymous struct {
	// Paths are the only ones that need no credentials; empty: none does.
	Paths []string
}

// AuthenticateRequest implements [authenticator.Request].
func (a Anonymous) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if len(a.Paths) > 0 && !slices.Contains(a.Paths, r.URL.Path) {
		return nil, false, nil
	}
	audiences, _ := authenticator.AudiencesFrom(r.Context())
	return &authenticator.Response{
		User:      &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}},
		Audiences: audiences,
	}, true, nil
}

// IsAnonymous says whether nobody knows who the user is.
func IsAnonymous(u user.Info) bool {
	return u.GetName() == user.Anonymous || slices.Contains(u.GetGroups(), user.AllUnauthenticated)
}
