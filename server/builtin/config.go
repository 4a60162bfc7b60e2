package builtin

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/informers"
	restclient "k8s.io/client-go/rest"
	rbacvalidation "k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/pkg/serviceaccount"
	netutils "k8s.io/utils/net"

	"github.com/howdah/howdah/server/objects"
)

// Config is what the built-in resources are made from.
type Config struct {
	// APIs says which group versions and resources are on; nil: DefaultAPIs().
	APIs *serverstorage.ResourceConfig
	// Getter keeps the objects.
	Getter *objects.Getter
	// Loopback is how storages call the API that they are part of.
	Loopback *restclient.Config
	// Informers are over the loopback; Install asks for those it needs, the
	// caller starts them.
	Informers informers.SharedInformerFactory

	// ServiceCIDRs are the ranges of service addresses: one, or two of
	// different families for dual stack; the first is the default family.
	ServiceCIDRs []net.IPNet
	// NodePorts is the range of node ports; the zero value is 30000-32767.
	NodePorts utilnet.PortRange

	EventTTL time.Duration // 0: an hour

	Kubelet Kubelet // how kubelets are called
	// Proxy calls pods, services and nodes for the proxy subresources; nil: a
	// transport of its own that does not verify their certificates, as upstream.
	Proxy http.RoundTripper

	// Authorizer answers the authorization reviews and the checks inside
	// storages (escalation, eviction, approval); nil: everything is allowed.
	Authorizer authorizer.Authorizer
	// Rules answers SelfSubjectRulesReviews; nil: Authorizer if it can, else
	// everything is allowed.
	Rules authorizer.RuleResolver
	// Policy says who has which rules, for checks against escalation; nil: all
	// stored bindings are read for each.
	Policy rbacvalidation.AuthorizationRuleResolver
	// Authenticator answers TokenReviews; nil: it says that this server takes
	// no tokens.
	Authenticator authenticator.Request
	APIAudiences  authenticator.Audiences

	// ServiceAccounts issues tokens; nil: there is no serviceaccounts/token.
	ServiceAccounts *ServiceAccounts
}

// ServiceAccounts is how tokens are issued for service accounts.
type ServiceAccounts struct {
	Issuer                serviceaccount.TokenGenerator
	MaxExpiration         time.Duration
	ExtendExpiration      bool
	MaxExtendedExpiration time.Duration
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Getter == nil:
		return c, errors.New("built-in resources need a Getter to keep their objects in")
	case c.Loopback == nil || c.Informers == nil:
		return c, errors.New("built-in resources need a Loopback and Informers over it")
	case len(c.ServiceCIDRs) < 1 || len(c.ServiceCIDRs) > 2:
		return c, errors.New("give one range of service addresses, or two of different families")
	case len(c.ServiceCIDRs) == 2 && netutils.IsIPv6CIDR(&c.ServiceCIDRs[0]) == netutils.IsIPv6CIDR(&c.ServiceCIDRs[1]):
		return c, errors.New("the two ranges of service addresses must be of different IP families")
	}
	if c.APIs == nil {
		c.APIs = DefaultAPIs()
	}
	if c.NodePorts.Size == 0 {
		c.NodePorts = utilnet.PortRange{Base: 30000, Size: 2768}
	}
	if c.EventTTL == 0 {
		c.EventTTL = time.Hour
	}
	if c.Proxy == nil {
		c.Proxy = utilnet.SetTransportDefaults(&http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		})
	}
	if c.Authorizer == nil {
		c.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	}
	if c.Rules == nil {
		var ok bool
		if c.Rules, ok = c.Authorizer.(authorizer.RuleResolver); !ok {
			c.Rules = authorizerfactory.NewAlwaysAllowAuthorizer()
		}
	}
	if c.Authenticator == nil {
		c.Authenticator = authenticator.RequestFunc(noTokens)
	}
	return c, nil
}

func noTokens(*http.Request) (*authenticator.Response, bool, error) {
	return nil, false, errors.New("this server does not take tokens yet, so none can be reviewed: use client certificates")
}
