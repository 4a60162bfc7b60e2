package serviceaccount

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"gopkg.in/go-jose/go-jose.v2"
)

func TestDocuments(t *testing.T) {
	keys, err := NewKeys(rsaKey, p256Key.Public(), p384Key.Public(), p521Key.Public(), rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDocuments(issuer, "", "10.0.0.1:6443", keys)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.ServeConfiguration(w, nil)
	if got, want := w.Body.String(), `{"issuer":"https://issuer.example.org","jwks_uri":"https://10.0.0.1:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","ES384","ES512","RS256"]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("%v", w.Header())
	}
	w = httptest.NewRecorder()
	d.ServeKeys(w, nil)
	if w.Header().Get("Content-Type") != "application/jwk-set+json" {
		t.Errorf("%v", w.Header())
	}
	// Another implementation must read the keys as what they are.
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 4 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	for i, key := range set.Keys {
		if !key.Valid() || key.KeyID != keys.all[i].ID || key.Algorithm != keys.all[i].method.Alg() {
			t.Errorf("%+v", key)
		}
		switch public := key.Key.(type) {
		case *rsa.PublicKey:
			if !public.Equal(keys.all[i].Public) {
				t.Error("another RSA key")
			}
		case *ecdsa.PublicKey:
			if !public.Equal(keys.all[i].Public) {
				t.Error("another ECDSA key")
			}
		}
	}
	for _, bad := range []string{"http://issuer.example.org", "https://issuer.example.org?x=y", "https://issuer.example.org#x", "issuer", "\x7f://"} {
		if _, err := NewDocuments(bad, "", "a", keys); err == nil {
			t.Errorf("%q has documents", bad)
		}
	}
}

func TestOptions(t *testing.T) {
	var o Options
	if err := o.Complete(); err != nil || o.Issuers[0] != DefaultIssuer {
		t.Errorf("%v %v", o, err)
	}
	for want, o := range map[string]Options{
		"service-account-issuer should not be an empty string":                                                                           {Issuers: []string{""}},
		`service-account-issuer "a" is already specified`:                                                                                {Issuers: []string{"a", "a"}},
		"service-account-jwks-uri requires https scheme, parsed as: http://x":                                                            {JWKSURI: "http://x"},
		"the service-account-max-token-expiration must be between 1 hour and 2^32 seconds":                                               {MaxExpiration: 1},
		"--service-account-key-file has keys to check tokens with; give the one to sign them with by --service-account-signing-key-file": {KeyFiles: []string{"x"}},
	} {
		if err := o.Complete(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
