package oidc

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/apis/apiserver"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/howdah/howdah/auth/oidc/oidctest"
)

// soon is far longer than anything here takes.
const soon = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// of accepts tokens of an issuer for the audience "us".
func of(i *oidctest.Issuer) apiserver.JWTAuthenticator {
	prefix := ""
	return apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: i.URL, CertificateAuthority: i.CA, Audiences: []string{"us"}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Claim: "sub", Prefix: &prefix}},
	}
}

// compiler is shared by the tests.
var compiler = authenticationcel.NewDefaultCompiler()

// begin starts an authenticator.
func begin(t testing.TB, o Options) *Authenticator {
	t.Helper()
	o.Compiler, o.Logger = compiler, quiet()
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	t.Cleanup(a.Stop)
	return a
}

// ready starts an authenticator and waits for its issuer.
func ready(t testing.TB, o Options) *Authenticator {
	t.Helper()
	a := begin(t, o)
	discovered(t, a)
	return a
}

func discovered(t testing.TB, a *Authenticator) {
	t.Helper()
	select {
	case <-a.Discovered():
	case <-time.After(soon):
		t.Fatal("the issuer was not discovered:", a.Ready())
	}
}

// refused checks that a token is refused with an error that says want.
func refused(t *testing.T, a *Authenticator, token, want string) {
	t.Helper()
	answer, ok, err := a.AuthenticateToken(t.Context(), token)
	if ok || answer != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, %t, %v; want an error with %q", answer, ok, err, want)
	}
}

// accepted checks that a token is a user's.
func accepted(t *testing.T, a *Authenticator, token, want string) user.Info {
	t.Helper()
	answer, ok, err := a.AuthenticateToken(t.Context(), token)
	if !ok || err != nil {
		t.Fatalf("refused: %v", err)
	}
	if got := answer.User.GetName(); got != want {
		t.Errorf("got user %q, want %q", got, want)
	}
	return answer.User
}

// eventually asks until the answer is right. A fetch of keys that is just over
// may still be what go-oidc answers by, so that the first answer after a change
// can be that of before.
func eventually(t *testing.T, a *Authenticator, token string, right func(ok bool, err error) bool) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for {
		_, ok, err := a.AuthenticateToken(t.Context(), token)
		if right(ok, err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %t, %v", ok, err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	issuer := oidctest.New(t)
	all := ready(t, Options{Authenticator: of(issuer), SigningAlgorithms: SigningAlgorithms()})
	standard := ready(t, Options{Authenticator: of(issuer)})
	for _, algorithm := range SigningAlgorithms() {
		t.Run(algorithm, func(t *testing.T) {
			issuer.Rotate(algorithm)
			token := issuer.Token(map[string]any{"sub": "jane", "aud": "us"})
			eventually(t, all, token, func(ok bool, _ error) bool { return ok })
			if algorithm == "RS256" {
				accepted(t, standard, token, "jane")
			} else {
				refused(t, standard, token, "unexpected signature algorithm")
			}
		})
	}
	for _, algorithm := range []string{"none", "HS256", "EdDSA", "rs256", ""} {
		if _, err := New(Options{Authenticator: of(issuer), Compiler: compiler, SigningAlgorithms: []string{algorithm}}); err == nil {
			t.Errorf("%q may be chosen", algorithm)
		}
	}
}

// TestForged is what attackers try.
func TestForged(t *testing.T) {
	issuer, other := oidctest.New(t), oidctest.New(t)
	a := ready(t, Options{Authenticator: of(issuer), SigningAlgorithms: SigningAlgorithms()})
	good := map[string]any{"sub": "jane", "aud": "us"}
	accepted(t, a, issuer.Token(good), "jane")
	with := func(more map[string]any) map[string]any {
		claims := map[string]any{"sub": "jane", "aud": "us"}
		for name, value := range more {
			claims[name] = value
		}
		return claims
	}
	signed := func(method jwt.SigningMethod, key any, header map[string]any) string {
		token := jwt.NewWithClaims(method, issuer.Claims(good))
		for name, value := range header {
			token.Header[name] = value
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	public, err := x509.MarshalPKIXPublicKey(issuer.Key().Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	kid := map[string]any{"kid": issuer.Key().ID}
	parts := strings.Split(issuer.Token(good), ".")
	mallory := base64.RawURLEncoding.EncodeToString(must(json.Marshal(issuer.Claims(map[string]any{"sub": "admin", "aud": "us"}))))
	stranger := other.NewKey("RS256")
	stranger.ID = issuer.Key().ID
	withOwnKey := issuer.NewKey("ES256")
	for name, c := range map[string]struct{ token, want string }{
		"alg none":                      {signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid), "unexpected signature algorithm"},
		"alg none, without a signature": {strings.Join([]string{base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)), parts[1], ""}, "."), "unexpected signature algorithm"},
		"HMAC with the public key":      {signed(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), kid), "unexpected signature algorithm"},
		"HMAC with the key's DER":       {signed(jwt.SigningMethodHS256, public, kid), "unexpected signature algorithm"},
		"signature cut off":             {parts[0] + "." + parts[1] + ".", "failed to verify signature"},
		"another payload":               {parts[0] + "." + mallory + "." + parts[2], "failed to verify signature"},
		"another key of that id":        {issuer.TokenBy(stranger, good), "failed to verify signature"},
		"unknown key":                   {issuer.TokenBy(issuer.NewKey("RS256"), good), "failed to verify signature"},
		"key in the header": {signed(withOwnKey.Method, withOwnKey.Signer, map[string]any{"kid": "mine",
			"jwk": oidctest.KeySet(withOwnKey).Keys[0], "jku": other.URL + oidctest.Keys}), "failed to verify signature"},
		"critical header nobody knows": {signed(issuer.Key().Method, issuer.Key().Signer, map[string]any{"kid": issuer.Key().ID, "crit": []string{"x"}, "x": 1}), "failed to verify signature"},
		"wrong audience":               {issuer.Token(with(map[string]any{"aud": "them"})), "expected audience"},
		"no audience":                  {issuer.Token(with(map[string]any{"aud": nil})), "expected audience"},
		"audience of another type":     {issuer.Token(with(map[string]any{"aud": map[string]any{"us": 1}})), "failed to unmarshal claims"},
		"expired":                      {issuer.Token(with(map[string]any{"exp": time.Now().Add(-time.Second).Unix()})), "token is expired"},
		"no expiry":                    {issuer.Token(with(map[string]any{"exp": nil})), "token is expired"},
		"not yet valid":                {issuer.Token(with(map[string]any{"nbf": time.Now().Add(2 * time.Minute).Unix()})), "before the nbf (not before) time"},
		"valid in a far future":        {issuer.Token(with(map[string]any{"nbf": 1e30})), "before the nbf (not before) time"},
		"no user":                      {issuer.Token(with(map[string]any{"sub": nil})), `parse username claims "sub": claim not present`},
		"user is a list":               {issuer.Token(with(map[string]any{"sub": []string{"jane", "admin"}})), "failed to unmarshal claims"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, a, c.token, c.want) })
	}
	// Tokens of others, and what is no token, are left to other authenticators.
	for name, token := range map[string]string{
		"another issuer":             other.Token(good),
		"other issuer, our name not": issuer.Token(with(map[string]any{"iss": issuer.URL + "/"})),
		"no issuer":                  issuer.Token(with(map[string]any{"iss": nil})),
		"JSON serialization":         `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"four parts":                 strings.Join(parts, ".") + ".x",
		"two parts":                  parts[0] + "." + parts[1],
		"empty":                      "",
		"payload no base64":          parts[0] + ".!." + parts[2],
	} {
		if answer, ok, err := a.AuthenticateToken(t.Context(), token); answer != nil || ok || err != nil {
			t.Errorf("%s: got %v, %t, %v", name, answer, ok, err)
		}
	}
	accepted(t, a, issuer.Token(with(map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix()})), "jane")
	accepted(t, a, issuer.Token(with(map[string]any{"aud": []string{"them", "us"}})), "jane")
}

// TestDuplicateClaims: of two claims of one name the last counts, as RFC 7519
// has it, for go-oidc's checks and for us alike.
func TestDuplicateClaims(t *testing.T) {
	issuer := oidctest.New(t)
	a := ready(t, Options{Authenticator: of(issuer)})
	key := issuer.Key()
	sign := func(payload string) string {
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"` + key.ID + `"}`))
		text := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		signature, err := key.Method.Sign(text, key.Signer)
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	later := `,"exp":` + string(must(json.Marshal(time.Now().Add(time.Hour).Unix()))) + `}`
	iss := `{"iss":"` + issuer.URL + `"`
	accepted(t, a, sign(iss+`,"aud":"them","aud":"us","sub":"admin","sub":"jane"`+later), "jane")
	refused(t, a, sign(iss+`,"aud":"us","aud":"them","sub":"jane"`+later), "expected audience")
	// encoding/json would take these for the claims that are checked.
	refused(t, a, sign(iss+`,"aud":"them","AUD":"us","sub":"jane"`+later), `"AUD" differs from "aud" only in case`)
	refused(t, a, sign(iss+`,"exp":1,"aud":"us","sub":"jane"`+strings.Replace(later, "exp", "eXp", 1)), "only in case")
	refused(t, a, sign(iss+`,"aud":"us","sub":"jane","\u017fub":"admin"`+later), "only in case")
	if _, ok, err := a.AuthenticateToken(t.Context(), sign(iss+`,"iss":"https://other","aud":"us","sub":"jane"`+later)); ok || err != nil {
		t.Errorf("a token of another issuer: %t, %v", ok, err)
	}
}

func TestRotation(t *testing.T) {
	issuer := oidctest.New(t)
	a := ready(t, Options{Authenticator: of(issuer), SigningAlgorithms: []string{"RS256", "ES256"}})
	claims := map[string]any{"sub": "jane", "aud": "us"}
	first := issuer.Token(claims)
	accepted(t, a, first, "jane")
	fetched := issuer.Asked(oidctest.Keys)
	accepted(t, a, issuer.Token(claims), "jane")
	if n := issuer.Asked(oidctest.Keys); n != fetched {
		t.Errorf("a known key was fetched again (%d)", n-fetched)
	}
	before := issuer.Key()
	after := issuer.NewKey("ES256")
	issuer.Serve(before, after)
	second := issuer.Token(claims)
	yes := func(ok bool, _ error) bool { return ok }
	eventually(t, a, second, yes)
	accepted(t, a, first, "jane")
	// The old key is withdrawn; that is noticed with the next fetch.
	issuer.Rotate("RS256")
	eventually(t, a, issuer.Token(claims), yes)
	refused(t, a, first, "failed to verify signature")
	refused(t, a, second, "failed to verify signature")
}

// TestKeyFlood: tokens of made up keys can't make us flood the issuer.
func TestKeyFlood(t *testing.T) {
	issuer := oidctest.New(t)
	a := ready(t, Options{Authenticator: of(issuer)})
	claims := map[string]any{"sub": "jane", "aud": "us"}
	forged := issuer.NewKey("RS256")
	start, before := time.Now(), issuer.Asked(oidctest.Keys)
	// One token may make do with the answer to the one before.
	for issuer.Asked(oidctest.Keys)-before < keyFetchBurst+2 {
		refused(t, a, issuer.TokenBy(forged, claims), "failed to verify signature")
	}
	if took := time.Since(start); took < keyFetchEvery {
		t.Errorf("keys were asked for %d times in %v", keyFetchBurst+2, took)
	}
	issuer.Rotate("RS256")
	eventually(t, a, issuer.Token(claims), func(ok bool, _ error) bool { return ok })
}

func TestIssuerDownAtFirst(t *testing.T) {
	issuer := oidctest.New(t)
	tried := make(chan struct{}, 16)
	issuer.Answer(oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("down for a while ", 1000), http.StatusServiceUnavailable)
		tried <- struct{}{}
	})
	a, err := New(Options{Authenticator: of(issuer), Compiler: compiler, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	a.issuer.retry = 10 * time.Millisecond
	a.Start()
	t.Cleanup(a.Stop)
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "is not healthy") {
		t.Errorf("ready before the issuer was: %v", err)
	}
	<-tried
	refused(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "us"}), "oidc: authenticator not initialized")
	issuer.Answer(oidctest.Discovery, nil)
	discovered(t, a)
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
	accepted(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "us"}), "jane")
	a.Stop()
	a.Stop()
}

// TestBadIssuers are answers that must not make an issuer trusted.
func TestBadIssuers(t *testing.T) {
	other := oidctest.New(t)
	plain := httptest.NewServer(other)
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		answer func(issuer *oidctest.Issuer) http.HandlerFunc
		want   string
	}{
		"another issuer's document": {func(*oidctest.Issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { oidctest.JSON(w, other.Document()) }
		}, "did not match the issuer URL returned by provider"},
		"redirected to another issuer": {func(*oidctest.Issuer) http.HandlerFunc {
			return http.RedirectHandler(other.URL+oidctest.Discovery, http.StatusFound).ServeHTTP
		}, "did not match the issuer URL returned by provider"},
		"redirected to plain HTTP": {func(*oidctest.Issuer) http.HandlerFunc {
			return http.RedirectHandler(plain.URL+oidctest.Discovery, http.StatusFound).ServeHTTP
		}, "only https"},
		"redirected for ever": {func(i *oidctest.Issuer) http.HandlerFunc {
			return http.RedirectHandler(i.URL+oidctest.Discovery, http.StatusFound).ServeHTTP
		}, "stopped after 10 redirects"},
		"no keys": {func(i *oidctest.Issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { oidctest.JSON(w, map[string]any{"issuer": i.URL}) }
		}, "provider did not return JWKS URL"},
		"too long": {func(i *oidctest.Issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				document := i.Document()
				document["padding"] = strings.Repeat("x", maxAnswer)
				oidctest.JSON(w, document)
			}
		}, "longer than"},
		"no JSON": {func(*oidctest.Issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }
		}, "failed to decode provider discovery object"},
		"not found": {func(*oidctest.Issuer) http.HandlerFunc { return http.NotFound }, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := oidctest.New(t)
			issuer.Answer(oidctest.Discovery, c.answer(issuer))
			client, closeClient, err := newClient(of(issuer).Issuer)
			if err != nil {
				t.Fatal(err)
			}
			defer closeClient()
			_, err = discover(t.Context(), issuer.URL, client, checks{}, func(plain http.RoundTripper) http.RoundTripper { return plain })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestBadKeys are answers in place of keys; tokens are refused, and accepted
// once the keys are back.
func TestBadKeys(t *testing.T) {
	issuer := oidctest.New(t)
	plain := httptest.NewServer(issuer)
	t.Cleanup(plain.Close)
	a := ready(t, Options{Authenticator: of(issuer)})
	token := issuer.Token(map[string]any{"sub": "jane", "aud": "us"})
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			oidctest.JSON(w, map[string]any{"keys": []any{}, "padding": strings.Repeat("x", maxAnswer)})
		}, "longer than"},
		"no JSON":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("<", 4000)) }, "failed to decode keys"},
		"none":       {func(w http.ResponseWriter, _ *http.Request) { oidctest.JSON(w, map[string]any{"keys": []any{}}) }, "failed to verify id token signature"},
		"error":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }, "502"},
		"plain HTTP": {http.RedirectHandler(plain.URL+oidctest.Keys, http.StatusFound).ServeHTTP, "only https"},
		"hung up":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			issuer.Answer(oidctest.Keys, c.answer)
			eventually(t, a, token, func(_ bool, err error) bool { return err != nil && strings.Contains(err.Error(), c.want) })
			if _, _, err := a.AuthenticateToken(t.Context(), token); len(err.Error()) > 2*maxErrorText {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	issuer.Answer(oidctest.Keys, nil)
	eventually(t, a, token, func(ok bool, _ error) bool { return ok })
}

// TestMetrics looks at what a scrape says.
func TestMetrics(t *testing.T) {
	issuer := oidctest.New(t)
	m := NewMetrics("server")
	a := ready(t, Options{Authenticator: of(issuer), Metrics: m})
	accepted(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "us"}), "jane")
	refused(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "them"}), "audience")
	issuer.Answer(oidctest.Keys, http.NotFound)
	refused(t, a, issuer.TokenBy(issuer.NewKey("RS256"), map[string]any{"sub": "jane", "aud": "us"}), "404")
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	count := func() map[string]int {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				key := strings.TrimPrefix(family.GetName(), "apiserver_authentication_jwt_authenticator_")
				for _, label := range metric.GetLabel() {
					if label.GetName() == "result" {
						key += " " + label.GetValue()
					} else if !strings.HasPrefix(label.GetValue(), "sha256:") {
						t.Errorf("label %s is %q", label.GetName(), label.GetValue())
					}
				}
				found[key] += max(1, int(metric.GetHistogram().GetSampleCount()))
			}
		}
		return found
	}
	if diff := cmp.Diff(map[string]int{
		"latency_seconds success": 1, "latency_seconds failure": 2,
		"jwks_fetch_last_timestamp_seconds success": 1, "jwks_fetch_last_timestamp_seconds failure": 1,
		"jwks_fetch_last_key_set_info": 1,
	}, count()); diff != "" {
		t.Error(diff)
	}
	m.Forget(issuer.URL)
	if got := count(); got["jwks_fetch_last_key_set_info"] != 0 || got["jwks_fetch_last_timestamp_seconds success"] != 0 {
		t.Errorf("a forgotten issuer is still there: %v", got)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestSeveralAudiencesAndDiscoveryURL(t *testing.T) {
	issuer, elsewhere := oidctest.New(t), oidctest.New(t)
	issuer.Answer(oidctest.Discovery, http.NotFound)
	elsewhere.Answer("/of/issuer", func(w http.ResponseWriter, _ *http.Request) { oidctest.JSON(w, issuer.Document()) })
	config := of(issuer)
	config.Issuer.DiscoveryURL = elsewhere.URL + "/of/issuer"
	config.Issuer.Audiences, config.Issuer.AudienceMatchPolicy = []string{"us", "we"}, apiserver.AudienceMatchPolicyMatchAny
	a := ready(t, Options{Authenticator: config})
	accepted(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "us"}), "jane")
	accepted(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": []string{"them", "we"}}), "jane")
	refused(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "them"}), `expected audience in ["us" "we"] got ["them"]`)
	refused(t, a, issuer.Token(map[string]any{"sub": "jane"}), "expected audience")
	if n := issuer.Asked(oidctest.Discovery); n != 0 {
		t.Errorf("the issuer itself was asked %d times", n)
	}
}

func TestConfigurationErrors(t *testing.T) {
	issuer := oidctest.New(t)
	for want, change := range map[string]func(*apiserver.JWTAuthenticator){
		"URL scheme must be https":        func(a *apiserver.JWTAuthenticator) { a.Issuer.URL = "http://issuer" },
		"at least one issuer.audiences":   func(a *apiserver.JWTAuthenticator) { a.Issuer.Audiences = nil },
		"must not overlap":                func(a *apiserver.JWTAuthenticator) { a.Issuer.URL = "https://ours" },
		"egress lookup required":          func(a *apiserver.JWTAuthenticator) { a.Issuer.EgressSelectorType = apiserver.EgressSelectorCluster },
		"egress selector must be either":  func(a *apiserver.JWTAuthenticator) { a.Issuer.EgressSelectorType = "x" },
		"data does not contain any valid": func(a *apiserver.JWTAuthenticator) { a.Issuer.CertificateAuthority = "x" },
		"compilation failed": func(a *apiserver.JWTAuthenticator) {
			a.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Expression: "claims."}
		},
		"discoveryURL must be different from U": func(a *apiserver.JWTAuthenticator) { a.Issuer.DiscoveryURL = a.Issuer.URL },
	} {
		config := of(issuer)
		change(&config)
		if _, err := New(Options{Authenticator: config, Compiler: compiler, DisallowedIssuers: []string{"https://ours"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestClaimsAreAMap: what CEL can do with a map it can do with the claims.
// Upstream's can't be searched with "in", and its iteration gives the values.
func TestClaimsAreAMap(t *testing.T) {
	issuer := oidctest.New(t)
	config := of(issuer)
	config.ClaimValidationRules = []apiserver.ClaimValidationRule{
		{Expression: "!('root' in claims) && !('a' in claims.object)"},
		{Expression: "claims.all(name, name.size() < 10)"},
		{Expression: "size(claims) == 5 && claims.object.?b__dash__c.orValue([]).all(each, each.d__dot__e == 1.0)"},
	}
	a := ready(t, Options{Authenticator: config})
	with := func(name string) string {
		return issuer.Token(map[string]any{"sub": "jane", "aud": "us", "object": map[string]any{name: []any{map[string]any{"d.e": 1}}}})
	}
	accepted(t, a, with("b-c"), "jane")
	refused(t, a, with("a"), "'a' in claims.object")
}

// TestGroupsSplit is an example of Kubernetes' documentation that upstream
// refuses, since its list is one of Go strings.
func TestGroupsSplit(t *testing.T) {
	issuer := oidctest.New(t)
	config := of(issuer)
	config.ClaimMappings.Groups.Expression = "claims.roles.split(',')"
	a := ready(t, Options{Authenticator: config})
	jane := accepted(t, a, issuer.Token(map[string]any{"sub": "jane", "aud": "us", "roles": "a,b"}), "jane")
	if diff := cmp.Diff([]string{"a", "b"}, jane.GetGroups()); diff != "" {
		t.Error(diff)
	}
}

// TestHangingIssuer: a request that waits for an issuer ends with its context.
func TestHangingIssuer(t *testing.T) {
	issuer := oidctest.New(t)
	a := ready(t, Options{Authenticator: of(issuer)})
	entered := make(chan struct{}, 1)
	issuer.Answer(oidctest.Keys, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, _, err := a.AuthenticateToken(ctx, issuer.Token(map[string]any{"sub": "jane", "aud": "us"}))
		answered <- err
	}()
	<-entered
	cancel()
	select {
	case err := <-answered:
		if err == nil || !strings.Contains(err.Error(), "context canceled") {
			t.Errorf("got %v", err)
		}
	case <-time.After(soon):
		t.Fatal("the request waits on")
	}
}

// FuzzToken: whatever comes as a token, no answer without an error but "not
// mine", and no panic.
func FuzzToken(f *testing.F) {
	issuer := oidctest.New(f)
	a := ready(f, Options{Authenticator: of(issuer), SigningAlgorithms: SigningAlgorithms()})
	a.issuer.found.Store(newVerifier(issuer.URL, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{issuer.Key().Signer.Public()}}, a.issuer.checks))
	good := issuer.Token(map[string]any{"sub": "jane", "aud": "us"})
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("a.b.c")
	f.Add("{}")
	f.Fuzz(func(t *testing.T, token string) {
		answer, ok, err := a.AuthenticateToken(t.Context(), token)
		if token == good {
			if !ok {
				t.Error(err)
			}
			return
		}
		if !ok && answer != nil || ok && err != nil {
			t.Errorf("%v, %t, %v", answer, ok, err)
		}
		// A signature has many encodings, but only the signed claims get in.
		if ok && (answer.User.GetName() != "jane" || !strings.HasPrefix(token, good[:strings.LastIndexByte(good, '.')])) {
			t.Errorf("accepted %q as %v", token, answer.User)
		}
	})
}

// FuzzClaims: whatever an issuer signs, a user or an error and no panic; and
// what CEL sees of it agrees with the JSON.
func FuzzClaims(f *testing.F) {
	config := apiserver.JWTAuthenticator{
		Issuer: apiserver.Issuer{URL: "https://issuer", Audiences: []string{"us"}},
		ClaimMappings: apiserver.ClaimMappings{
			Username: apiserver.PrefixedClaimOrExpression{Expression: "claims.sub"},
			Groups:   apiserver.PrefixedClaimOrExpression{Expression: "claims.?a__dot__b[?'c'].orValue(null)"},
		},
		UserValidationRules: []apiserver.UserValidationRule{{Expression: "user.groups.all(g, g != 'root')"}},
	}
	a, err := New(Options{Authenticator: config, Compiler: compiler, Logger: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"sub":"jane","a.b":{"c":["x","y"]}}`)
	f.Add(`{"sub":"jane","a.b":[[{"c":1e400}]]}`)
	f.Add(`{"sub":null,"a.b":{"c":["root"]}}`)
	f.Fuzz(func(t *testing.T, payload string) {
		var c claims
		var decoded map[string]any
		if json.Unmarshal([]byte(payload), &c) != nil || json.Unmarshal([]byte(payload), &decoded) != nil {
			return
		}
		info, err := a.mapping.user(t.Context(), c)
		if err != nil {
			return
		}
		if name, _ := decoded["sub"].(string); info.GetName() != name || name == "" {
			t.Errorf("user %q of %s", info.GetName(), payload)
		}
		if slices.Contains(info.GetGroups(), "root") {
			t.Errorf("groups %q of %s", info.GetGroups(), payload)
		}
	})
}
