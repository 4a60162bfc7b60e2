package authorization

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/apiserver/pkg/authorization/metrics"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/kubernetes/pkg/auth/authorizer/abac"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
)

// A Member is an authorizer that can also list what somebody may do.
type Member interface {
	authorizer.Authorizer
	authorizer.RuleResolver
}

// Config is what a [Chain] is made from.
type Config struct {
	Options Options
	// Members are the authorizers that need this server's objects, by mode:
	// Node and RBAC.
	Members map[string]Member
	// ServerID tells this server from others in metrics.
	ServerID string
	Logger   *slog.Logger
}

// A Chain asks its authorizers in their order until one allows or denies. Members
// of system:masters may do everything.
type Chain struct {
	path     string // of the file; empty: flags
	serverID string
	log      *slog.Logger
	compiler cel.Compiler
	builtin  map[apiserver.AuthorizerType]Member // that were on at the start, as only they can be later
	required sets.Set[apiserver.AuthorizerType]

	current atomic.Pointer[links]

	// The last file that was looked at; for reload only.
	data   []byte
	loaded *apiserver.AuthorizationConfiguration
}

// links are the members of a chain at one time.
type links struct {
	authorizer.Authorizer
	authorizer.RuleResolver
}

var _ Member = (*Chain)(nil)

// New makes the chain that the options ask for.
func New(c Config) (*Chain, error) {
	configuration, data, err := c.Options.configuration()
	if err != nil {
		return nil, err
	}
	chain := &Chain{
		path: c.Options.ConfigFile, serverID: c.ServerID, log: c.Logger, compiler: cel.NewDefaultCompiler(),
		builtin: map[apiserver.AuthorizerType]Member{}, required: types(configuration),
		data: data, loaded: configuration,
	}
	for mode := range chain.required {
		switch string(mode) {
		case modes.ModeAlwaysAllow:
			chain.builtin[mode] = authorizerfactory.NewAlwaysAllowAuthorizer()
		case modes.ModeAlwaysDeny:
			chain.builtin[mode] = authorizerfactory.NewAlwaysDenyAuthorizer()
		case modes.ModeABAC:
			policy, err := abac.NewFromFile(c.Options.PolicyFile)
			if err != nil {
				return nil, fmt.Errorf("read --authorization-policy-file: %w", err)
			}
			chain.builtin[mode] = policy
		default:
			member, ok := c.Members[string(mode)]
			if !ok {
				return nil, fmt.Errorf("unknown authorization mode %s specified", mode)
			}
			chain.builtin[mode] = member
		}
	}
	made, err := chain.link(configuration)
	if err != nil {
		return nil, err
	}
	chain.current.Store(made)
	return chain, nil
}

// Has says whether a mode is on.
func (c *Chain) Has(mode string) bool { return c.required.Has(apiserver.AuthorizerType(mode)) }

// Authorize implements [authorizer.Authorizer], as do the next two.
func (c *Chain) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return c.current.Load().Authorize(ctx, a)
}

func (c *Chain) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return c.current.Load().ConditionsAwareAuthorize(ctx, a)
}

func (c *Chain) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return c.current.Load().EvaluateConditions(ctx, d, data)
}

// RulesFor implements [authorizer.RuleResolver].
func (c *Chain) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return c.current.Load().RulesFor(ctx, u, namespace)
}

func (c *Chain) link(configuration *apiserver.AuthorizationConfiguration) (*links, error) {
	chain := []union.NamedAuthorizer{{
		AuthorizerName: "kubernetes.io/system-privileged-group",
		Authorizer:     authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup),
	}}
	var resolvers []authorizer.RuleResolver
	for _, a := range configuration.Authorizers {
		member, ok := c.builtin[a.Type]
		if a.Type == apiserver.TypeWebhook {
			var err error
			if member, err = newWebhook(a, c.compiler); err != nil {
				return nil, fmt.Errorf("authorization webhook %s: %w", a.Name, err)
			}
		} else if !ok {
			return nil, fmt.Errorf("authorizer type %s is not allowed if it was not enabled at initial server startup", a.Type)
		}
		chain = append(chain, union.NamedAuthorizer{
			AuthorizerName: a.Name,
			Authorizer:     metrics.InstrumentedAuthorizer(string(a.Type), a.Name, member),
		})
		resolvers = append(resolvers, member)
	}
	all, err := union.New(chain...)
	if err != nil {
		return nil, err
	}
	return &links{all, union.NewRuleResolvers(resolvers...)}, nil
}
