package serviceaccount

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// DefaultIssuer is what tokens say who issued them, if nothing else is asked for.
const DefaultIssuer = "https://kubernetes.default.svc.cluster.local"

// Lifetimes of tokens that pods get mounted. A client that never reads its token
// again goes on working for the longer time, and is told of in metrics and audit
// events after the shorter one.
const (
	WarnAfter = 3607 * time.Second
	Extended  = 365 * 24 * time.Hour
)

// Options are the settings of service account tokens. The zero value of a field
// means the default of the flag that its comment names.
type Options struct {
	Issuers        []string      // --service-account-issuer; the first one is put into new tokens
	SigningKeyFile string        // --service-account-signing-key-file; empty: our own key
	KeyFiles       []string      // --service-account-key-file, beside the signing key
	MaxExpiration  time.Duration // --service-account-max-token-expiration; 0: none
	DontExtend     bool          // --service-account-extend-token-expiration=false
	DontLookup     bool          // --service-account-lookup=false
	JWKSURI        string        // --service-account-jwks-uri
}

// Complete fills in defaults and says, with the flag to change, what can't be.
func (o *Options) Complete() error {
	if len(o.Issuers) == 0 {
		o.Issuers = []string{DefaultIssuer}
	}
	seen := map[string]bool{}
	for _, issuer := range o.Issuers {
		if issuer == "" {
			return errors.New("service-account-issuer should not be an empty string")
		}
		if strings.Contains(issuer, ":") {
			if _, err := url.Parse(issuer); err != nil {
				return fmt.Errorf("service-account-issuer %q contained a ':' but was not a valid URL: %w", issuer, err)
			}
		}
		if seen[issuer] {
			return fmt.Errorf("service-account-issuer %q is already specified", issuer)
		}
		seen[issuer] = true
	}
	if o.JWKSURI != "" {
		switch u, err := url.Parse(o.JWKSURI); {
		case err != nil:
			return fmt.Errorf("service-account-jwks-uri must be a valid URL: %w", err)
		case u.Scheme != "https":
			return fmt.Errorf("service-account-jwks-uri requires https scheme, parsed as: %v", u)
		}
	}
	if o.MaxExpiration != 0 && (o.MaxExpiration < time.Hour || o.MaxExpiration > (1<<32)*time.Second) {
		return errors.New("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds")
	}
	if len(o.KeyFiles) > 0 && o.SigningKeyFile == "" {
		return errors.New("--service-account-key-file has keys to check tokens with; give the one to sign them with by --service-account-signing-key-file")
	}
	return nil
}
