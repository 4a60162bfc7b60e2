package oidc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// earliness is how much before its nbf a token is accepted, for clocks that
// differ: kube-apiserver's minute, where go-oidc would give five.
const earliness = time.Minute

// checks are what every token must pass, whoever of the issuers made it.
type checks struct {
	algorithms []string
	audiences  []string // the token must be for one of them
	now        func() time.Time
}

// A verifier verifies the tokens of an issuer whose keys can be asked for.
type verifier struct {
	tokens *oidc.IDTokenVerifier
	checks checks
}

func newVerifier(issuer string, keys oidc.KeySet, c checks) *verifier {
	return &verifier{checks: c, tokens: oidc.NewVerifier(issuer, keys, &oidc.Config{
		SkipClientIDCheck:    true, // it knows of one audience; see below
		SupportedSigningAlgs: c.algorithms,
		Now:                  c.now,
	})}
}

// verify returns the claims of a token that is signed by the issuer, for us,
// and valid now.
func (v *verifier) verify(ctx context.Context, token string) (claims, error) {
	verified, err := v.tokens.Verify(ctx, token)
	if err != nil {
		return nil, brief(err)
	}
	if !slices.ContainsFunc(verified.Audience, func(audience string) bool { return slices.Contains(v.checks.audiences, audience) }) {
		return nil, fmt.Errorf("oidc: expected audience in %q got %q", v.checks.audiences, verified.Audience)
	}
	var c claims
	if err := verified.Claims(&c); err != nil {
		return nil, fmt.Errorf("oidc: parse claims: %w", err)
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	return c, v.notEarly(c)
}

func (v *verifier) notEarly(c claims) error {
	if !c.has("nbf") {
		return nil
	}
	var seconds *float64
	if err := c.into("nbf", &seconds); err != nil {
		return fmt.Errorf("oidc: parse claim nbf: %w", err)
	}
	if seconds == nil {
		return nil // null is no claim
	}
	const distant = 1 << 40 // seconds; keeps the conversion within its type
	now, begins := v.checks.now(), time.Unix(int64(min(*seconds, distant)), 0)
	if now.Add(earliness).Before(begins) {
		return fmt.Errorf("oidc: current time %v before the nbf (not before) time: %v", now, begins)
	}
	return nil
}
