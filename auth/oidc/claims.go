package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// claims are the members of a verified token's payload.
type claims map[string]json.RawMessage

func (c claims) has(name string) bool {
	_, ok := c[name]
	return ok
}

// into decodes one claim.
func (c claims) into(name string, value any) error {
	raw, ok := c[name]
	if !ok {
		return errors.New("claim not present")
	}
	return json.Unmarshal(raw, value)
}

// registered are the claims by which a token is accepted or refused.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat"}

// checkNames refuses claims that are registered ones but for the case of their
// letters: encoding/json, by which go-oidc reads those, would take one for the
// other.
func (c claims) checkNames() error {
	for name := range c {
		for _, known := range registered {
			if name != known && strings.EqualFold(name, known) {
				return fmt.Errorf("oidc: claim %q differs from %q only in case", name, known)
			}
		}
	}
	return nil
}

// claimedIssuer is who a token that nobody has verified yet says it is from.
func claimedIssuer(token string) (string, error) {
	if strings.HasPrefix(strings.TrimSpace(token), "{") {
		return "", errors.New("token is not compact JWT")
	}
	_, rest, found := strings.Cut(token, ".")
	payload, _, signed := strings.Cut(rest, ".")
	if !found || !signed || strings.Count(rest, ".") != 1 {
		return "", errors.New("malformed token")
	}
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", fmt.Errorf("error decoding token: %w", err)
	}
	var claimed struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(data, &claimed); err != nil {
		return "", fmt.Errorf("while unmarshaling token: %w", err)
	}
	// Google's tokens may lack the scheme
	// (https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken).
	if claimed.Issuer == "accounts.google.com" {
		return "https://accounts.google.com", nil
	}
	return claimed.Issuer, nil
}

// strings are a claim that is one string or a list of them: some providers
// give a role where others give groups.
type stringOrList []string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *stringOrList) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*s = list
		return nil
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*s = []string{one}
	return nil
}
