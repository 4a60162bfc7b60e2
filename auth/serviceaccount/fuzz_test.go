package serviceaccount

import (
	"encoding/base64"
	"strings"
	"testing"
)

// Whatever is sent as a token, only the one that we signed gets in, and nothing
// that a refusal says quotes the token.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	good := w.sign(w.claimsFor(nil))
	encode := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		good, "", "..", "a.b.c", good + ".", parts[0] + "." + parts[1] + ".",
		encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		encode([]byte(`{"alg":"HS256","kid":[]}`)) + "." + parts[1] + "." + parts[2],
		parts[0] + "." + encode([]byte(`{"iss":"`+issuer+`","exp":1e400}`)) + "." + parts[2],
		parts[0] + "." + encode([]byte(`{"iss":"`+issuer+`","aud":{}}`)) + "." + parts[2],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		response, ok, err := w.AuthenticateToken(t.Context(), token)
		if ok != (token == good) || ok != (response != nil) || ok && err != nil {
			t.Fatalf("%q: %v %v %v", token, response, ok, err)
		}
		if err != nil && len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
			t.Errorf("%q quotes the token", err)
		}
	})
}
