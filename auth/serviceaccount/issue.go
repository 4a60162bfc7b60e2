package serviceaccount

import (
	"encoding/json"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// Sign makes a token of claims: values that encode as JSON objects. Of a claim
// that several have, the last one counts.
func (k *Keys) Sign(claims ...any) (string, error) {
	all := jwt.MapClaims{}
	for _, some := range claims {
		encoded, err := json.Marshal(some)
		if err != nil {
			return "", fmt.Errorf("encode the claims of a token: %w", err)
		}
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(encoded, &members); err != nil {
			return "", fmt.Errorf("encode the claims of a token: %w", err)
		}
		for name, value := range members {
			all[name] = value
		}
	}
	token := jwt.NewWithClaims(k.signing.method, all)
	token.Header = map[string]any{"alg": k.signing.method.Alg(), "kid": k.signing.ID} // upstream's have no typ
	signed, err := token.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// SignSecret makes the token that a secret keeps: for its account, for as long
// as secret and account exist.
func (k *Keys) SignSecret(account *corev1.ServiceAccount, secret *corev1.Secret) (string, error) {
	return k.Sign(IssuedBy(LegacyIssuer), struct {
		Subject string `json:"sub"`
		legacy
	}{
		serviceaccount.MakeUsername(account.Namespace, account.Name),
		legacy{LegacyName: account.Name, LegacyUID: string(account.UID), LegacySecret: secret.Name, LegacyNamespace: secret.Namespace},
	})
}

// IssuedBy is the claim that says who issued a token.
func IssuedBy(issuer string) any {
	return struct {
		Issuer string `json:"iss"`
	}{issuer}
}
