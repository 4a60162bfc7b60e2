// Package authorization owns the chain of authorizers that decides every
// request: which there are, in which order, from flags or from a file that is
// read again when it changes
// (https://kubernetes.io/docs/reference/access-authn-authz/authorization/).
package authorization

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
)

// Options are kube-apiserver's flags of the same names.
type Options struct {
	Modes      []string // --authorization-mode; by default Node, RBAC, where kube-apiserver allows everything
	PolicyFile string   // --authorization-policy-file

	WebhookConfigFile      string        // --authorization-webhook-config-file
	WebhookVersion         string        // --authorization-webhook-version
	WebhookAuthorizedTTL   time.Duration // --authorization-webhook-cache-authorized-ttl
	WebhookUnauthorizedTTL time.Duration // --authorization-webhook-cache-unauthorized-ttl

	// ConfigFile is --authorization-config. It takes the place of Modes and of
	// the webhook's options; OtherFlags says that some of them were given.
	ConfigFile string
	OtherFlags bool
}

// DefaultOptions are those that flags start from.
func DefaultOptions() Options {
	return Options{
		Modes:                  []string{modes.ModeNode, modes.ModeRBAC},
		WebhookVersion:         "v1beta1",
		WebhookAuthorizedTTL:   5 * time.Minute,
		WebhookUnauthorizedTTL: 30 * time.Second,
	}
}

func (o Options) withDefaults() Options {
	d := DefaultOptions()
	if len(o.Modes) == 0 && o.ConfigFile == "" {
		o.Modes = d.Modes
	}
	if o.WebhookVersion == "" {
		o.WebhookVersion = d.WebhookVersion
	}
	return o
}

// Validate says what is wrong with the options, the configuration file included.
func (o Options) Validate() error {
	_, _, err := o.configuration()
	return err
}

// configuration is what the options mean, and the bytes of the file if there is one.
func (o Options) configuration() (*apiserver.AuthorizationConfiguration, []byte, error) {
	o = o.withDefaults()
	if o.ConfigFile != "" {
		if o.OtherFlags {
			return nil, nil, errors.New("--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined")
		}
		return readFile(o.ConfigFile)
	}
	if err := o.validateModes(); err != nil {
		return nil, nil, err
	}
	c := &apiserver.AuthorizationConfiguration{}
	for _, mode := range o.Modes {
		a := apiserver.AuthorizerConfiguration{Type: apiserver.AuthorizerType(mode), Name: strings.ToLower(mode)}
		if mode == modes.ModeWebhook {
			a.Name, a.Webhook = "default", o.webhook()
		}
		c.Authorizers = append(c.Authorizers, a)
	}
	return c, nil, nil
}

func (o Options) validateModes() error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, mode := range o.Modes {
		refuse(!modes.IsValidAuthorizationMode(mode), "authorization-mode %q is not a valid mode, use some of %s", mode, strings.Join(modes.AuthorizationModeChoices, ", "))
	}
	abac, webhook := slices.Contains(o.Modes, modes.ModeABAC), slices.Contains(o.Modes, modes.ModeWebhook)
	refuse(abac && o.PolicyFile == "", "authorization-mode ABAC's authorization policy file not passed: --authorization-policy-file")
	refuse(webhook && o.WebhookConfigFile == "", "authorization-mode Webhook's authorization config file not passed: --authorization-webhook-config-file")
	refuse(!abac && o.PolicyFile != "", "cannot specify --authorization-policy-file without mode ABAC")
	refuse(!webhook && o.WebhookConfigFile != "", "cannot specify --authorization-webhook-config-file without mode Webhook")
	refuse(webhook && o.WebhookVersion != "v1" && o.WebhookVersion != "v1beta1", "--authorization-webhook-version %q is neither v1 nor v1beta1", o.WebhookVersion)
	refuse(sets.New(o.Modes...).Len() != len(o.Modes), "authorization-mode %q has mode specified more than once", o.Modes)
	return errors.Join(errs...)
}

// webhook is what the webhook's flags mean in a configuration file.
func (o Options) webhook() *apiserver.WebhookConfiguration {
	return &apiserver.WebhookConfiguration{
		AuthorizedTTL:              metav1.Duration{Duration: o.WebhookAuthorizedTTL},
		CacheAuthorizedRequests:    o.WebhookAuthorizedTTL != 0,
		UnauthorizedTTL:            metav1.Duration{Duration: o.WebhookUnauthorizedTTL},
		CacheUnauthorizedRequests:  o.WebhookUnauthorizedTTL != 0,
		Timeout:                    metav1.Duration{Duration: 30 * time.Second},
		FailurePolicy:              apiserver.FailurePolicyNoOpinion,
		SubjectAccessReviewVersion: o.WebhookVersion,
		ConnectionInfo: apiserver.WebhookConnectionInfo{
			Type:           apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile,
			KubeConfigFile: &o.WebhookConfigFile,
		},
	}
}
