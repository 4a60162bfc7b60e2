package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/auth"
)

// authenticationFlags say whom the server believes who they are.
type authenticationFlags struct{ options auth.Options }

func (f *authenticationFlags) add(flags *pflag.FlagSet) {
	o := &f.options
	addNegated(flags, &o.DisableAnonymous, "anonymous-auth", "let requests without credentials in as user system:anonymous in group system:unauthenticated")
	flags.StringSliceVar((*[]string)(&o.APIAudiences), "api-audiences", nil, "names of this API that tokens may be meant for; by default those of --service-account-issuer")
	flags.StringVar(&o.TokenFile, "token-auth-file", "", "file of fixed bearer tokens, a line each: token,user,UID,\"group,group\"")
	flags.BoolVar(&o.BootstrapTokens, "enable-bootstrap-token-auth", false, "accept the tokens of secrets of type bootstrap.kubernetes.io/token in kube-system, by which nodes join")

	accounts := &o.ServiceAccounts
	flags.StringArrayVar(&accounts.Issuers, "service-account-issuer", nil, "who service account tokens say issued them, best an https URL; given several times, the first is put into new tokens and all are accepted (default https://kubernetes.default.svc.cluster.local)")
	flags.StringVar(&accounts.SigningKeyFile, "service-account-signing-key-file", "", "RSA or ECDSA private key, PEM, that signs service account tokens; by default one that Howdah makes and all servers of the database share")
	flags.StringArrayVar(&accounts.KeyFiles, "service-account-key-file", nil, "PEM keys, public or private, whose service account tokens are accepted beside those of the signing key; given several times, all count")
	flags.StringVar(&accounts.JWKSURI, "service-account-jwks-uri", "", "https URL that /.well-known/openid-configuration says the keys are at; by default /openid/v1/jwks of this server")
	flags.DurationVar(&accounts.MaxExpiration, "service-account-max-token-expiration", 0, "longest life of a service account token that is asked for; longer ones are cut; at least 1h, 0 for no limit")
	addNegated(flags, &accounts.DontExtend, "service-account-extend-token-expiration", "let tokens that are mounted into pods be used for a year, and tell of those that are used after an hour, for clients that don't read their token again")
	addNegated(flags, &accounts.DontLookup, "service-account-lookup", "accept the token of a secret only while the secret exists")

	proxy := &o.FrontProxy
	flags.StringVar(&proxy.ClientCAFile, "requestheader-client-ca-file", "", "authorities of proxies in front of this server, which say in headers who is calling; read again when it changes. They decide who that is, so give them an authority of their own")
	flags.StringSliceVar(&proxy.AllowedNames, "requestheader-allowed-names", nil, "common names of the proxies' certificates; by default any")
	flags.StringSliceVar(&proxy.UsernameHeaders, "requestheader-username-headers", nil, "headers with the user, usually X-Remote-User")
	flags.StringSliceVar(&proxy.UIDHeaders, "requestheader-uid-headers", nil, "headers with the user's UID, usually X-Remote-Uid")
	flags.StringSliceVar(&proxy.GroupHeaders, "requestheader-group-headers", nil, "headers with the groups, usually X-Remote-Group")
	flags.StringSliceVar(&proxy.ExtraPrefixes, "requestheader-extra-headers-prefix", nil, "starts of headers with more about the user, usually X-Remote-Extra-")
}
