// Package oidctest is an OpenID Connect issuer for tests: real HTTPS, real
// keys, and faults on demand.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Paths of an issuer.
const (
	Discovery = "/.well-known/openid-configuration"
	Keys      = "/keys"
)

// An Issuer serves its discovery document and its keys, and signs tokens. It
// starts with one RS256 key.
type Issuer struct {
	// URL names the issuer and is where it listens.
	URL string
	// CA, in PEM, vouches for its serving certificate.
	CA string

	t      testing.TB
	server *httptest.Server

	mu      sync.Mutex
	keys    []Key // those it serves; the last signs
	made    int
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

// A Key signs tokens.
type Key struct {
	ID     string
	Method jwt.SigningMethod
	Signer crypto.Signer
}

// New starts an issuer that ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t, answers: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	i.server = httptest.NewUnstartedServer(i)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
	i.Rotate("RS256")
	return i
}

// NewKey makes a key that the issuer doesn't serve.
func (i *Issuer) NewKey(algorithm string) Key {
	i.t.Helper()
	method := jwt.GetSigningMethod(algorithm)
	var signer crypto.Signer
	var err error
	switch method := method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case *jwt.SigningMethodECDSA:
		curve := map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}[method.CurveBits]
		signer, err = ecdsa.GenerateKey(curve, rand.Reader)
	default:
		i.t.Fatalf("no keys for %s", algorithm)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	return Key{ID: "key-" + strconv.Itoa(i.made), Method: method, Signer: signer}
}

// Rotate makes a key, signs with it from now on and serves no other.
func (i *Issuer) Rotate(algorithm string) Key {
	i.t.Helper()
	key := i.NewKey(algorithm)
	i.Serve(key)
	return key
}

// Serve sets the keys that the issuer serves; the last one signs.
func (i *Issuer) Serve(keys ...Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Key is the one that signs.
func (i *Issuer) Key() Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Token signs claims. Those of iss and exp that are absent are added: the
// issuer and an hour from now. A nil claim is left out.
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	return i.TokenBy(i.Key(), claims)
}

// TokenBy is [Issuer.Token] by any key.
func (i *Issuer) TokenBy(key Key, claims map[string]any) string {
	i.t.Helper()
	token := jwt.NewWithClaims(key.Method, i.Claims(claims))
	token.Header["kid"] = key.ID
	signed, err := token.SignedString(key.Signer)
	if err != nil {
		i.t.Fatal(err)
	}
	return signed
}

// Claims completes claims as [Issuer.Token] does.
func (i *Issuer) Claims(claims map[string]any) jwt.MapClaims {
	full := jwt.MapClaims{"iss": i.URL, "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(full, claims)
	maps.DeleteFunc(full, func(_ string, value any) bool { return value == nil })
	return full
}

// Answer sets what a path answers; nil: what it does by itself.
func (i *Issuer) Answer(path string, answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = answer
}

// Hang makes a path answer only once its caller has gone.
func (i *Issuer) Hang(path string) {
	i.Answer(path, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Asked counts the requests for a path.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// ServeHTTP implements [http.Handler].
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.URL.Path]++
	answer, keys := i.answers[r.URL.Path], i.keys
	i.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == Discovery:
		JSON(w, i.Document())
	case r.URL.Path == Keys:
		JSON(w, KeySet(keys...))
	default:
		http.NotFound(w, r)
	}
}

// Document is the issuer's discovery document.
func (i *Issuer) Document() map[string]any {
	return map[string]any{
		"issuer":                 i.URL,
		"jwks_uri":               i.URL + Keys,
		"authorization_endpoint": i.URL + "/auth",
		"token_endpoint":         i.URL + "/token",
	}
}

// KeySet is the form in which keys are served.
func KeySet(keys ...Key) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Signer.Public(), KeyID: key.ID, Algorithm: key.Method.Alg(), Use: "sig"})
	}
	return set
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
