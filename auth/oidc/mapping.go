package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/apis/apiserver"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/token/jwt"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A mapping makes a user of claims.
type mapping struct {
	claims      apiserver.ClaimMappings
	required    map[string]string // claims that must have this value
	expressions authenticationcel.CELMapper
}

func newMapping(a apiserver.JWTAuthenticator, expressions authenticationcel.CELMapper) *mapping {
	required := map[string]string{}
	for _, rule := range a.ClaimValidationRules {
		if rule.Claim != "" {
			required[rule.Claim] = rule.RequiredValue
		}
	}
	return &mapping{claims: a.ClaimMappings, required: required, expressions: expressions}
}

// user maps the claims, then checks them and the user by the rules.
func (m *mapping) user(ctx context.Context, c claims) (user.Info, error) {
	var values traits.Mapper
	if e := m.expressions; e.Username != nil || e.Groups != nil || e.UID != nil || e.Extra != nil || e.ClaimValidationRules != nil {
		var err error
		if values, err = claimValues(c); err != nil {
			return nil, err
		}
	}
	var info user.DefaultInfo
	var err error
	if info.Name, err = m.username(ctx, c, values); err != nil {
		return nil, err
	}
	if info.Groups, err = m.groups(ctx, c, values); err != nil {
		return nil, err
	}
	if info.UID, err = m.uid(ctx, c, values); err != nil {
		return nil, err
	}
	if info.Extra, err = m.extra(ctx, c, values); err != nil {
		return nil, err
	}
	if len(info.Extra) == 0 {
		info.Extra = nil
	}
	if err := m.validate(ctx, c, values, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

func (m *mapping) username(ctx context.Context, c claims, values traits.Mapper) (string, error) {
	if m.expressions.Username != nil {
		name, err := evaluateString(ctx, m.expressions.Username, values, "username")
		if err == nil && name == "" {
			err = errors.New("oidc: empty username via CEL expression is not allowed")
		}
		return name, err
	}
	claim := m.claims.Username.Claim
	var name string
	if err := c.into(claim, &name); err != nil {
		return "", fmt.Errorf("oidc: parse username claims %q: %w", claim, err)
	}
	// An address that its provider hasn't verified is anybody's
	// (https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims).
	if claim == "email" && c.has("email_verified") {
		var verified bool
		if err := c.into("email_verified", &verified); err != nil {
			return "", fmt.Errorf("oidc: parse 'email_verified' claim: %w", err)
		}
		if !verified {
			return "", errors.New("oidc: email not verified")
		}
	}
	return prefixed(m.claims.Username.Prefix, name), nil
}

func (m *mapping) groups(ctx context.Context, c claims, values traits.Mapper) ([]string, error) {
	if claim := m.claims.Groups.Claim; claim != "" && c.has(claim) {
		var groups stringOrList
		if err := c.into(claim, &groups); err != nil {
			return nil, fmt.Errorf("oidc: parse groups claim %q: %w", claim, err)
		}
		for i, group := range groups {
			groups[i] = prefixed(m.claims.Groups.Prefix, group)
		}
		return groups, nil
	}
	if m.expressions.Groups == nil {
		return nil, nil
	}
	result, err := m.expressions.Groups.EvalClaimMapping(ctx, values)
	if err != nil {
		return nil, fmt.Errorf("oidc: error evaluating group claim expression: %w", err)
	}
	groups, err := stringList(result.EvalResult)
	if err != nil {
		return nil, fmt.Errorf("oidc: error evaluating group claim expression: %w", err)
	}
	return groups, nil
}

func prefixed(prefix *string, name string) string {
	if prefix == nil {
		return name
	}
	return *prefix + name
}

func (m *mapping) uid(ctx context.Context, c claims, values traits.Mapper) (string, error) {
	if claim := m.claims.UID.Claim; claim != "" {
		var uid string
		if err := c.into(claim, &uid); err != nil {
			return "", fmt.Errorf("oidc: parse uid claim %q: %w", claim, err)
		}
		return uid, nil
	}
	if m.expressions.UID == nil {
		return "", nil
	}
	return evaluateString(ctx, m.expressions.UID, values, "uid")
}

// extra are the mapped values and, where the token has an id, that.
func (m *mapping) extra(ctx context.Context, c claims, values traits.Mapper) (map[string][]string, error) {
	extra := map[string][]string{}
	var id string
	if c.into("jti", &id) == nil && id != "" {
		extra[user.CredentialIDKey] = []string{jwt.CredentialIDForJTI(id)}
	}
	if m.expressions.Extra == nil {
		return extra, nil
	}
	results, err := m.expressions.Extra.EvalClaimMappings(ctx, values)
	if err != nil {
		return nil, err
	}
	for _, result := range results {
		rule, ok := result.ExpressionAccessor.(*authenticationcel.ExtraMappingExpression)
		if !ok {
			return nil, fmt.Errorf("oidc: error evaluating extra claim expression: %T is not an extra mapping", result.ExpressionAccessor)
		}
		list, err := stringList(result.EvalResult)
		if err != nil {
			return nil, fmt.Errorf("oidc: error evaluating extra claim expression: %s: %w", rule.Expression, err)
		}
		if len(list) > 0 {
			extra[rule.Key] = list
		}
	}
	return extra, nil
}

func (m *mapping) validate(ctx context.Context, c claims, values traits.Mapper, info *user.DefaultInfo) error {
	for claim, want := range m.required {
		if !c.has(claim) {
			return fmt.Errorf("oidc: required claim %s not present in ID token", claim)
		}
		var got string
		if err := c.into(claim, &got); err != nil {
			return fmt.Errorf("oidc: parse claim %s: %w", claim, err)
		}
		if got != want {
			return fmt.Errorf("oidc: required claim %s value does not match. Got = %s, want = %s", claim, got, want)
		}
	}
	if rules := m.expressions.ClaimValidationRules; rules != nil {
		results, err := rules.EvalClaimMappings(ctx, values)
		if err = errors.Join(err, allTrue(results)); err != nil {
			return fmt.Errorf("oidc: error evaluating claim validation expression: %w", err)
		}
	}
	if rules := m.expressions.UserValidationRules; rules != nil {
		results, err := rules.EvalUser(ctx, userValues(info))
		if err = errors.Join(err, allTrue(results)); err != nil {
			return fmt.Errorf("oidc: error evaluating user info validation rule: %w", err)
		}
	}
	return nil
}

// evaluateString evaluates the expression of what gives one string.
func evaluateString(ctx context.Context, expression authenticationcel.ClaimsMapper, values traits.Mapper, what string) (string, error) {
	result, err := expression.EvalClaimMapping(ctx, values)
	if err != nil {
		return "", fmt.Errorf("oidc: error evaluating %s claim expression: %w", what, err)
	}
	text, ok := result.EvalResult.(types.String)
	if !ok {
		return "", fmt.Errorf("oidc: error evaluating %s claim expression: %s claim expression must return a string", what, what)
	}
	return string(text), nil
}

// allTrue says which of the rules is not met.
func allTrue(results []authenticationcel.EvaluationResult) error {
	for _, result := range results {
		met, ok := result.EvalResult.(types.Bool)
		if !ok {
			return errors.New("validation expression must return a boolean")
		}
		if met {
			continue
		}
		var message string
		switch rule := result.ExpressionAccessor.(type) {
		case *authenticationcel.ClaimValidationCondition:
			message = rule.Message
		case *authenticationcel.UserValidationCondition:
			message = rule.Message
		}
		return fmt.Errorf("validation expression '%s' failed: %s", result.ExpressionAccessor.GetExpression(), message)
	}
	return nil
}

var errNotStrings = errors.New("expression must return a string or a list of strings")

// stringList is the value of an expression that gives a string, a list of
// them, or nothing. Empty strings are nothing.
func stringList(value any) ([]string, error) {
	var list []string
	switch value := value.(type) {
	case types.Null:
		return nil, nil
	case types.String:
		list = []string{string(value)}
	case traits.Lister:
		for each := value.Iterator(); each.HasNext() == types.True; {
			text, ok := each.Next().(types.String)
			if !ok {
				return nil, errNotStrings
			}
			list = append(list, string(text))
		}
	default:
		return nil, errNotStrings
	}
	list = slices.DeleteFunc(list, func(text string) bool { return text == "" })
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}
