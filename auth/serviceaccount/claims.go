package serviceaccount

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// LegacyIssuer is in tokens that are kept in secrets. They have no audience and
// don't expire.
const LegacyIssuer = "kubernetes/serviceaccount"

// claims are those of either kind of token.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes bound `json:"kubernetes.io"`
	legacy
}

// bound says to what a token of a TokenRequest is bound.
type bound struct {
	Namespace  string           `json:"namespace"`
	Account    ref              `json:"serviceaccount"`
	Pod        *ref             `json:"pod"`
	Secret     *ref             `json:"secret"`
	Node       *ref             `json:"node"`
	Validating *ref             `json:"validatingwebhookconfiguration"`
	Mutating   *ref             `json:"mutatingwebhookconfiguration"`
	WarnAfter  *jwt.NumericDate `json:"warnafter"`
}

type ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// legacy says the same for the token of a secret.
type legacy struct {
	LegacyName      string `json:"kubernetes.io/serviceaccount/service-account.name"`
	LegacyUID       string `json:"kubernetes.io/serviceaccount/service-account.uid"`
	LegacySecret    string `json:"kubernetes.io/serviceaccount/secret.name"`
	LegacyNamespace string `json:"kubernetes.io/serviceaccount/namespace"`
}

// issuerOf reads who issued a token, if it is one, from bytes that nobody
// checked.
func issuerOf(token string) (string, bool) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return "", false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", false
	}
	var unverified struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(decoded, &unverified) != nil {
		return "", false
	}
	return unverified.Issuer, true
}

// clockSkew is how far the clocks of servers that issue and check tokens may be
// apart before a new token is refused.
const clockSkew = time.Minute

// inTime says whether a token is neither expired nor from the future. No grace is
// given at the end: clients renew their tokens long before.
func (c *claims) inTime(now time.Time) error {
	switch {
	case c.ExpiresAt != nil && !now.Before(c.ExpiresAt.Time):
		return errors.New("service account token has expired")
	case c.NotBefore != nil && now.Add(clockSkew).Before(c.NotBefore.Time):
		return errors.New("service account token is not valid yet")
	case c.IssuedAt != nil && now.Add(clockSkew).Before(c.IssuedAt.Time):
		return errors.New("service account token is issued in the future")
	}
	return nil
}

// checkLegacy says whether the claims of a secret's token are there and agree.
func (c *claims) checkLegacy() error {
	switch {
	case c.Subject == "":
		return errors.New("sub claim is missing")
	case c.LegacyNamespace == "":
		return errors.New("namespace claim is missing")
	case c.LegacySecret == "":
		return errors.New("secretName claim is missing")
	case c.LegacyName == "":
		return errors.New("serviceAccountName claim is missing")
	case c.LegacyUID == "":
		return errors.New("serviceAccountUID claim is missing")
	}
	namespace, name, err := serviceaccount.SplitUsername(c.Subject)
	if err != nil || namespace != c.LegacyNamespace || name != c.LegacyName {
		return errors.New("sub claim is invalid")
	}
	return nil
}
