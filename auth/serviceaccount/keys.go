package serviceaccount

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/client-go/util/keyutil"
)

// A Key checks the signatures of one signer.
type Key struct {
	// ID is what the tokens' kid says: derived from the key as kube-apiserver
	// does, so that tokens of either stay valid when one takes over from the other.
	ID     string
	Public crypto.PublicKey
	method jwt.SigningMethod
}

// NewKey accepts RSA keys and those of the curves P-256, P-384 and P-521. Each
// kind has exactly one algorithm: a token that names another one is refused,
// whatever its signature.
func NewKey(public crypto.PublicKey) (Key, error) {
	k := Key{Public: public}
	switch public := public.(type) {
	case *rsa.PublicKey:
		k.method = jwt.SigningMethodRS256
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			k.method = jwt.SigningMethodES256
		case elliptic.P384():
			k.method = jwt.SigningMethodES384
		case elliptic.P521():
			k.method = jwt.SigningMethodES512
		default:
			return Key{}, errors.New("unknown private key curve, must be 256, 384, or 521")
		}
	default:
		return Key{}, fmt.Errorf("a %T can't check service account tokens, use an RSA or ECDSA key", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("failed to serialize public key to DER format: %w", err)
	}
	sum := sha256.Sum256(der)
	k.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

// Keys are the key that signs and all that check.
type Keys struct {
	private crypto.Signer
	signing Key
	all     []Key // the signing one first
}

// NewKeys returns the signer's key and further ones to check with.
func NewKeys(signer crypto.Signer, others ...crypto.PublicKey) (*Keys, error) {
	k := &Keys{private: signer}
	for _, public := range append([]crypto.PublicKey{signer.Public()}, others...) {
		key, err := NewKey(public)
		if err != nil {
			return nil, err
		}
		if len(k.byID(key.ID)) == 0 { // the signing key may be in the files too
			k.all = append(k.all, key)
		}
	}
	k.signing = k.all[0]
	return k, nil
}

// LoadKeys reads the keys of the files that the options name.
func LoadKeys(o Options) (*Keys, error) {
	private, err := keyutil.PrivateKeyFromFile(o.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read --service-account-signing-key-file: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("--service-account-signing-key-file has a %T, which can't sign: use an RSA or ECDSA private key", private)
	}
	var others []crypto.PublicKey
	for _, file := range o.KeyFiles {
		found, err := keyutil.PublicKeysFromFile(file)
		if err != nil {
			return nil, fmt.Errorf("read --service-account-key-file: %w", err)
		}
		for _, key := range found {
			others = append(others, key)
		}
	}
	return NewKeys(signer, others...)
}

// byID returns the keys that a token may be signed with; all of them if it names
// none.
func (k *Keys) byID(id string) []Key {
	if id == "" {
		return k.all
	}
	for _, key := range k.all {
		if key.ID == id {
			return []Key{key}
		}
	}
	return nil
}
