package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// errInvalidToken: nobody knows the token.
var errInvalidToken = errors.New("invalid bearer token")

// BearerTokens takes the token from the Authorization header. The header is
// removed from a request that gets in, so that it can't be passed on.
type BearerTokens struct{ Tokens authenticator.Token }

// AuthenticateRequest implements [authenticator.Request].
func (b BearerTokens) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return nil, false, nil
	}
	token, _, more := strings.Cut(rest, " ")
	if token == "" {
		if more {
			warning.AddWarning(r.Context(), "", "the provided Authorization header contains extra space before the bearer token, and is ignored")
		}
		return nil, false, nil
	}
	response, ok, err := b.Tokens.AuthenticateToken(r.Context(), token)
	if ok && err == nil {
		r.Header.Del("Authorization")
	}
	return known(response, ok, err)
}

// known makes an error of a token that nobody knows.
func known(response *authenticator.Response, ok bool, err error) (*authenticator.Response, bool, error) {
	if !ok && err == nil {
		err = errInvalidToken
	}
	return response, ok, err
}

// webSocketPrefix is before a token that a browser passes as a subprotocol,
// since it can't set headers of a WebSocket request.
const webSocketPrefix = "base64url.bearer.authorization.k8s.io."

const webSocketProtocols = "Sec-Websocket-Protocol"

// WebSocketTokens takes the token from the subprotocols of a WebSocket request,
// and removes it from those that get in. There must be a second one, for the
// answer to name.
type WebSocketTokens struct{ Tokens authenticator.Token }

// AuthenticateRequest implements [authenticator.Request].
func (s WebSocketTokens) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if !wsstream.IsWebSocketRequest(r) {
		return nil, false, nil
	}
	var encoded, others []string
	for _, header := range r.Header[webSocketProtocols] {
		for protocol := range strings.SplitSeq(header, ",") {
			protocol = strings.TrimSpace(protocol)
			if token, ok := strings.CutPrefix(protocol, webSocketPrefix); ok {
				encoded = append(encoded, token)
			} else {
				others = append(others, protocol)
			}
		}
	}
	switch {
	case len(encoded) == 0:
		return nil, false, nil
	case len(encoded) > 1:
		return nil, false, errors.New("multiple base64.bearer.authorization tokens specified")
	}
	token, err := base64.RawURLEncoding.DecodeString(encoded[0])
	switch {
	case err != nil:
		return nil, false, errors.New("invalid base64.bearer.authorization token encoding")
	case !utf8.Valid(token):
		return nil, false, errors.New("invalid base64.bearer.authorization token")
	case len(token) == 0:
		return nil, false, nil
	case len(others) == 0:
		return nil, false, errors.New("missing additional subprotocol")
	}
	response, ok, err := s.Tokens.AuthenticateToken(r.Context(), string(token))
	if ok && err == nil {
		r.Header.Set(webSocketProtocols, strings.Join(others, ","))
	}
	return known(response, ok, err)
}
