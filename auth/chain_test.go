package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// tokens knows the token "good".
var tokens = authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
	switch token {
	case "good":
		return &authenticator.Response{User: &user.DefaultInfo{Name: "ada", Groups: []string{"engineers"}}}, true, nil
	case "expired":
		return nil, false, errors.New("token has expired")
	}
	return nil, false, nil
})

func way(name string, err error) authenticator.Request {
	return authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		if name == "" {
			return nil, false, err
		}
		return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, true, nil
	})
}

func TestChain(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		chain   Chain
		header  http.Header
		want    string // user, or empty
		wantErr string
	}{
		"nothing":                       {Chain{}, nil, "", ""},
		"anonymous":                     {Chain{Tokens: []authenticator.Token{tokens}, Anonymous: Anonymous{}}, nil, "system:anonymous", ""},
		"anonymous elsewhere":           {Chain{Anonymous: Anonymous{Paths: []string{"/livez"}}}, nil, "", ""},
		"proxy before certificate":      {Chain{FrontProxy: way("proxied", nil), Certificates: way("holder", nil)}, nil, "proxied", ""},
		"certificate before token":      {Chain{Certificates: way("holder", nil), Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer good"}}, "holder", ""},
		"an error does not stop others": {Chain{Certificates: way("", broken), Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer good"}}, "ada", ""},
		"but is not anonymous":          {Chain{Certificates: way("", broken), Anonymous: Anonymous{}}, nil, "", "broken"},
		"all errors are told":           {Chain{Certificates: way("", broken), Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer expired"}}, "", "[broken, token has expired]"},
		"an unknown token":              {Chain{Tokens: []authenticator.Token{tokens}, Anonymous: Anonymous{}}, http.Header{"Authorization": {"Bearer bad"}}, "", "invalid bearer token"},
		"a remote token":                {Chain{RemoteTokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer good"}}, "ada", ""},
		"only the first header counts":  {Chain{Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer bad", "Bearer good"}}, "", "invalid bearer token"},
		"any case, words after it":      {Chain{Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {" bEARER good and more "}}, "ada", ""},
		"another scheme":                {Chain{Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Basic good"}}, "", ""},
		"no token":                      {Chain{Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer"}}, "", ""},
		"two spaces":                    {Chain{Tokens: []authenticator.Token{tokens}}, http.Header{"Authorization": {"Bearer  good"}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/api", nil)
			for name, values := range c.header {
				r.Header[name] = slices.Clone(values)
			}
			response, ok, err := c.chain.Authenticator().AuthenticateRequest(r)
			got := ""
			if ok {
				got = response.User.GetName()
			}
			if got != c.want || ok != (c.want != "") {
				t.Errorf("got %q, want %q (%v)", got, c.want, err)
			}
			if text := errorText(err); text != c.wantErr {
				t.Errorf("error %q, want %q", text, c.wantErr)
			}
			if got == "ada" {
				if groups := response.User.GetGroups(); !slices.Equal(groups, []string{"engineers", "system:authenticated"}) {
					t.Errorf("groups %v", groups)
				}
				if r.Header.Get("Authorization") != "" {
					t.Error("the token is still in the request")
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWebSocketTokens(t *testing.T) {
	encode := func(token string) string {
		return webSocketPrefix + base64.RawURLEncoding.EncodeToString([]byte(token))
	}
	for name, c := range map[string]struct {
		protocols []string
		want      string
		left      string
		wantErr   string
	}{
		"good":           {[]string{"v4.channel.k8s.io, " + encode("good"), "v5.channel.k8s.io"}, "ada", "v4.channel.k8s.io,v5.channel.k8s.io", ""},
		"none":           {[]string{"v4.channel.k8s.io"}, "", "v4.channel.k8s.io", ""},
		"alone":          {[]string{encode("good")}, "", encode("good"), "missing additional subprotocol"},
		"two":            {[]string{"a", encode("good"), encode("good")}, "", "a", "multiple base64.bearer.authorization tokens specified"},
		"not base64":     {[]string{"a," + webSocketPrefix + "***"}, "", "a," + webSocketPrefix + "***", "invalid base64.bearer.authorization token encoding"},
		"not UTF-8":      {[]string{"a," + encode("\xff")}, "", "a," + encode("\xff"), "invalid base64.bearer.authorization token"},
		"unknown":        {[]string{"a," + encode("bad")}, "", "a," + encode("bad"), "invalid bearer token"},
		"nothing in it":  {[]string{"a," + encode("")}, "", "a," + encode(""), ""},
		"someone else's": {[]string{"base64url.bearer.authorization.example.org.Z29vZA"}, "", "base64url.bearer.authorization.example.org.Z29vZA", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/api/v1/namespaces/a/pods/b/exec", nil)
			r.Header["Connection"] = []string{"upgrade"}
			r.Header["Upgrade"] = []string{"websocket"}
			r.Header[webSocketProtocols] = c.protocols
			response, ok, err := WebSocketTokens{tokens}.AuthenticateRequest(r)
			if ok != (c.want != "") || ok && response.User.GetName() != c.want {
				t.Errorf("got %v %v", response, ok)
			}
			if text := errorText(err); text != c.wantErr {
				t.Errorf("error %q, want %q", text, c.wantErr)
			}
			if left := r.Header.Get(webSocketProtocols); left != c.left {
				t.Errorf("protocols %q, want %q", left, c.left)
			}
		})
	}
	r := httptest.NewRequest("GET", "/api", nil)
	r.Header[webSocketProtocols] = []string{"a", encode("good")}
	if _, ok, err := (WebSocketTokens{tokens}).AuthenticateRequest(r); ok || err != nil {
		t.Errorf("a request that is not for a WebSocket: %v %v", ok, err)
	}
}

// Whatever a client sends as a header, it gets in only with the good token.
func FuzzBearerTokens(f *testing.F) {
	for _, seed := range []string{"Bearer good", "Bearer  good", "Bearer", "", "Bearer\tgood", "Bearer good good", "bearer bad", "\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{header}
		_, ok, err := BearerTokens{tokens}.AuthenticateRequest(r)
		words := strings.Split(strings.TrimSpace(header), " ")
		want := len(words) >= 2 && strings.EqualFold(words[0], "bearer") && words[1] == "good"
		if ok != want || ok && err != nil {
			t.Errorf("%q: %v %v", header, ok, err)
		}
	})
}
