package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/oidc"
	"github.com/howdah/howdah/auth/webhook"
)

// tokenFlags say which bearer tokens of others are accepted.
type tokenFlags struct {
	set     *pflag.FlagSet // tells which flags were given
	issuers configuration.Options
	webhook webhook.Options
}

func (f *tokenFlags) add(flags *pflag.FlagSet) {
	f.set = flags
	flags.StringVar(&f.issuers.File, "authentication-config", "", "AuthenticationConfiguration file: which issuers' JSON web tokens are accepted, and for which paths anonymous requests are; read again when it changes. Not with --oidc-* flags, nor with --anonymous-auth if it configures that")

	o := &f.issuers.OIDC
	flags.StringVar(&o.IssuerURL, "oidc-issuer-url", "", "https URL of the OpenID Connect issuer whose ID tokens are accepted")
	flags.StringVar(&o.ClientID, "oidc-client-id", "", "client that an ID token must be for; needed with --oidc-issuer-url")
	flags.StringVar(&o.CAFile, "oidc-ca-file", "", "authorities that vouch for the issuer's certificate; by default the system's")
	flags.StringVar(&o.UsernameClaim, "oidc-username-claim", "sub", "claim that is the user; others than sub may be neither unique nor lasting")
	flags.StringVar(&o.UsernamePrefix, "oidc-username-prefix", "", "put before users; by default the issuer's URL and #, but nothing if the claim is email; - for nothing")
	flags.StringVar(&o.GroupsClaim, "oidc-groups-claim", "", "claim that is the user's groups: a string or a list of them")
	flags.StringVar(&o.GroupsPrefix, "oidc-groups-prefix", "", "put before groups, so that they are not taken for others'")
	flags.StringSliceVar(&o.SigningAlgs, "oidc-signing-algs", []string{"RS256"}, "algorithms that ID tokens may be signed with, of "+strings.Join(oidc.SigningAlgorithms(), ", "))
	flags.Var(cliflag.NewMapStringStringNoSplit(&o.RequiredClaims), "oidc-required-claim", "KEY=VALUE that an ID token must have; given several times, all of them")

	flags.StringVar(&f.webhook.ConfigFile, "authentication-token-webhook-config-file", "", "kubeconfig of a service that is asked, by TokenReview, about tokens nobody else knows")
	flags.StringVar(&f.webhook.Version, "authentication-token-webhook-version", "v1beta1", "version of TokenReview for the service: v1 or v1beta1")
	flags.DurationVar(&f.webhook.CacheTTL, "authentication-token-webhook-cache-ttl", 2*time.Minute, "how long the service's answers count")
}

// options are those of the flags once they were parsed.
func (f *tokenFlags) options() (configuration.Options, webhook.Options) {
	f.set.Visit(func(flag *pflag.Flag) {
		f.issuers.OIDC.Set = f.issuers.OIDC.Set || strings.HasPrefix(flag.Name, "oidc-")
		f.issuers.AnonymousFlag = f.issuers.AnonymousFlag || flag.Name == "anonymous-auth"
	})
	return f.issuers, f.webhook
}
