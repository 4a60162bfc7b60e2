package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"

	"github.com/howdah/howdah/auth/authorization"
)

// authorizationFlags are kube-apiserver's; only the default mode differs.
type authorizationFlags struct {
	authorization.Options
	flags *pflag.FlagSet
}

func (f *authorizationFlags) add(flags *pflag.FlagSet) {
	f.flags, f.Options = flags, authorization.DefaultOptions()
	flags.StringSliceVar(&f.Modes, "authorization-mode", f.Modes, "ordered list of who decides what callers may do, of "+strings.Join(modes.AuthorizationModeChoices, ","))
	flags.StringVar(&f.PolicyFile, "authorization-policy-file", "", "policy of mode ABAC, one JSON object a line")
	flags.StringVar(&f.WebhookConfigFile, "authorization-webhook-config-file", "", "kubeconfig of the service that mode Webhook asks")
	flags.StringVar(&f.WebhookVersion, "authorization-webhook-version", f.WebhookVersion, "version of the SubjectAccessReviews that the webhook gets: v1 or v1beta1")
	flags.DurationVar(&f.WebhookAuthorizedTTL, "authorization-webhook-cache-authorized-ttl", f.WebhookAuthorizedTTL, "how long the webhook's yes counts")
	flags.DurationVar(&f.WebhookUnauthorizedTTL, "authorization-webhook-cache-unauthorized-ttl", f.WebhookUnauthorizedTTL, "how long the webhook's no counts")
	flags.StringVar(&f.ConfigFile, "authorization-config", "", "AuthorizationConfiguration file (apiserver.config.k8s.io/v1), instead of --authorization-mode and --authorization-webhook-*; read again when it changes")
}

func (f *authorizationFlags) options() authorization.Options {
	o := f.Options
	o.OtherFlags = slices.ContainsFunc([]string{
		"authorization-mode", "authorization-webhook-config-file", "authorization-webhook-version",
		"authorization-webhook-cache-authorized-ttl", "authorization-webhook-cache-unauthorized-ttl",
	}, f.flags.Changed)
	return o
}
