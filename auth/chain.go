package auth

import (
	"net/http"
	"slices"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"
)

// remoteTokensKept is how long the answer about a token of [Chain.RemoteTokens]
// counts, as in kube-apiserver.
const remoteTokensKept = 10 * time.Second

// A Chain is the credentials that are accepted, in the order in which they are
// tried. What is nil or empty is not accepted.
type Chain struct {
	FrontProxy   authenticator.Request
	Certificates authenticator.Request
	// Tokens are asked anew for each request, so that a token ends when it should.
	Tokens []authenticator.Token
	// RemoteTokens come after Tokens: asking them may cost a call to somebody
	// else. What they say of a token they know counts for ten seconds.
	RemoteTokens []authenticator.Token
	// Anonymous is for requests without credentials. One with a bad
	// credential is refused before.
	Anonymous authenticator.Request
}

// Authenticator tries the chain. The first credential that is accepted says who
// is calling. An error of one does not stop the others, but keeps the request
// from being anonymous.
func (c Chain) Authenticator() authenticator.Request {
	var ways []authenticator.Request
	for _, way := range []authenticator.Request{c.FrontProxy, c.Certificates} {
		if way != nil {
			ways = append(ways, way)
		}
	}
	tokens := slices.Clone(c.Tokens)
	if len(c.RemoteTokens) > 0 {
		tokens = append(tokens, cache.New(union.New(c.RemoteTokens...), true, remoteTokensKept, 0))
	}
	if len(tokens) > 0 {
		all := union.New(tokens...)
		ways = append(ways, BearerTokens{all}, WebSocketTokens{all})
	}
	return &chain{ways: ways, anonymous: c.Anonymous}
}

type chain struct {
	ways      []authenticator.Request
	anonymous authenticator.Request // may be nil
}

// AuthenticateRequest implements [authenticator.Request].
func (c *chain) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	var errs []error
	for _, way := range c.ways {
		response, ok, err := way.AuthenticateRequest(r)
		switch {
		case err != nil:
			errs = append(errs, err)
		case ok:
			return withAuthenticated(response), true, nil
		}
	}
	if len(errs) > 0 || c.anonymous == nil {
		return nil, false, utilerrors.NewAggregate(errs)
	}
	return c.anonymous.AuthenticateRequest(r)
}

// withAuthenticated puts a user into the group of all that are known, unless
// the credential decided that.
func withAuthenticated(response *authenticator.Response) *authenticator.Response {
	groups := response.User.GetGroups()
	if response.User.GetName() == user.Anonymous ||
		slices.Contains(groups, user.AllAuthenticated) || slices.Contains(groups, user.AllUnauthenticated) {
		return response
	}
	return &authenticator.Response{
		Audiences: response.Audiences,
		User: &user.DefaultInfo{
			Name:   response.User.GetName(),
			UID:    response.User.GetUID(),
			Groups: append(slices.Clip(groups), user.AllAuthenticated),
			Extra:  response.User.GetExtra(),
		},
	}
}
