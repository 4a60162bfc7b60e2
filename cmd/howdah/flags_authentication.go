package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/auth"
)

// authenticationFlags say whom the server believes who they are.
type authenticationFlags struct{ options auth.Options }

func (f *authenticationFlags) add(flags *pflag.FlagSet) {
	flags.Var(negated{&f.options.DisableAnonymous}, "anonymous-auth", "let requests without credentials in as user system:anonymous in group system:unauthenticated")
	flags.Lookup("anonymous-auth").NoOptDefVal = "true"
	flags.StringSliceVar((*[]string)(&f.options.APIAudiences), "api-audiences", nil, "names of this API that tokens may be meant for; by default those of --service-account-issuer")
}
