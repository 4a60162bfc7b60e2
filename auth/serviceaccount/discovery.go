package serviceaccount

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
)

// Where others learn how to check our tokens
// (https://openid.net/specs/openid-connect-discovery-1_0.html).
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	KeysPath          = "/openid/v1/jwks"
)

// Documents are what is served at [ConfigurationPath] and [KeysPath].
type Documents struct{ configuration, keys []byte }

// NewDocuments fails for an issuer that the specification does not allow, which
// then has no documents. Without jwksURI the keys are said to be at address, a
// host and port.
func NewDocuments(issuer, jwksURI, address string, keys *Keys) (*Documents, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https":
		return nil, fmt.Errorf("issuer URL must use https scheme, got: %s", issuer)
	case u.RawQuery != "":
		return nil, fmt.Errorf("issuer URL may not include a query, got: %s", issuer)
	case u.Fragment != "":
		return nil, fmt.Errorf("issuer URL may not include a fragment, got: %s", issuer)
	}
	if jwksURI == "" {
		jwksURI = (&url.URL{Scheme: "https", Host: address, Path: KeysPath}).String()
	}
	var algorithms []string
	set := struct {
		Keys []jsonWebKey `json:"keys"`
	}{}
	for _, key := range keys.all {
		published, err := newJSONWebKey(key)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, published)
		algorithms = append(algorithms, key.method.Alg())
	}
	slices.Sort(algorithms)
	d := &Documents{}
	if d.keys, err = json.Marshal(set); err != nil {
		return nil, err
	}
	d.configuration, err = json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	}{issuer, jwksURI, []string{"id_token"}, []string{"public"}, slices.Compact(algorithms)})
	return d, err
}

// ServeConfiguration serves [ConfigurationPath].
func (d *Documents) ServeConfiguration(w http.ResponseWriter, _ *http.Request) {
	serve(w, "application/json", d.configuration)
}

// ServeKeys serves [KeysPath].
func (d *Documents) ServeKeys(w http.ResponseWriter, _ *http.Request) {
	serve(w, "application/jwk-set+json", d.keys)
}

func serve(w http.ResponseWriter, mediaType string, document []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(document) // the client is gone, there is nobody to tell
}

// jsonWebKey is a public key as RFC 7517 and RFC 7518 have it.
type jsonWebKey struct {
	Use       string `json:"use"`
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	Algorithm string `json:"alg"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

func newJSONWebKey(key Key) (jsonWebKey, error) {
	k := jsonWebKey{Use: "sig", ID: key.ID, Algorithm: key.method.Alg()}
	encode := base64.RawURLEncoding.EncodeToString
	switch public := key.Public.(type) {
	case *rsa.PublicKey:
		k.Type, k.N, k.E = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			return k, fmt.Errorf("publish the key %s: %w", key.ID, err)
		}
		// A byte that says "uncompressed", then both coordinates (SEC 1, 2.3.3).
		size := (len(point) - 1) / 2
		k.Type, k.Curve = "EC", public.Params().Name
		k.X, k.Y = encode(point[1:1+size]), encode(point[1+size:])
	}
	return k, nil
}
