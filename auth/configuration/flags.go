package configuration

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// OIDC are the --oidc-* flags, which configure one issuer.
type OIDC struct {
	// Set: one of the flags was given.
	Set bool

	IssuerURL      string
	ClientID       string
	CAFile         string // empty: the system's authorities
	UsernameClaim  string // the flag's default is sub
	UsernamePrefix string // "-": none; empty: the issuer's URL and #, but none for email
	GroupsClaim    string
	GroupsPrefix   string
	SigningAlgs    []string // RS256
	RequiredClaims map[string]string
}

// authenticators are the flags in the file's terms.
func (o *OIDC) authenticators() ([]apiserver.JWTAuthenticator, error) {
	prefix := o.UsernamePrefix
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && o.UsernameClaim != "email":
		prefix = o.IssuerURL + "#"
	}
	a := apiserver.JWTAuthenticator{
		Issuer: apiserver.Issuer{URL: o.IssuerURL, Audiences: []string{o.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{
			Username: apiserver.PrefixedClaimOrExpression{Claim: o.UsernameClaim, Prefix: &prefix},
		},
	}
	if o.GroupsClaim != "" {
		a.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: o.GroupsClaim, Prefix: &o.GroupsPrefix}
	}
	for _, claim := range slices.Sorted(maps.Keys(o.RequiredClaims)) {
		a.ClaimValidationRules = append(a.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: claim, RequiredValue: o.RequiredClaims[claim]})
	}
	if o.CAFile != "" {
		authorities, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read --oidc-ca-file: %w", err)
		}
		a.Issuer.CertificateAuthority = string(authorities)
	}
	return []apiserver.JWTAuthenticator{a}, nil
}
