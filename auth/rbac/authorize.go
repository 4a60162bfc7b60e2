package rbac

import (
	"context"
	"fmt"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

var _ authorizer.Authorizer = (*Engine)(nil)

// Authorize allows what a role of the user allows, and else has no opinion; the
// reason then tells of roles that are bound to the user and don't exist.
func (e *Engine) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	u := a.GetUser()
	if u == nil {
		return authorizer.DecisionNoOpinion, "", nil
	}
	q := newRequest(a)
	namespace := a.GetNamespace()
	e.mu.RLock()
	defer e.mu.RUnlock()
	if b := e.allowing(&q, u, ""); b != nil {
		return authorizer.DecisionAllow, b.reason(u), nil
	}
	if namespace != "" {
		if b := e.allowing(&q, u, namespace); b != nil {
			return authorizer.DecisionAllow, b.reason(u), nil
		}
	}
	if errs := e.broken(u, namespace); len(errs) > 0 {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("RBAC: %v", utilerrors.NewAggregate(errs)), nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// ConditionsAwareAuthorize implements [authorizer.Authorizer]: roles have no conditions.
func (e *Engine) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(e.Authorize(ctx, a))
}

// EvaluateConditions implements [authorizer.Authorizer].
func (*Engine) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// allowing returns a binding of the namespace, or of all with "", whose role
// allows the request; under mu.
func (e *Engine) allowing(q *request, u user.Info, namespace string) *binding {
	if b := allowing(q, e.grants[holder{namespace, false, u.GetName()}]); b != nil {
		return b
	}
	for _, group := range u.GetGroups() {
		if b := allowing(q, e.grants[holder{namespace, true, group}]); b != nil {
			return b
		}
	}
	return nil
}

func allowing(q *request, grants []grant) *binding {
	for i := range grants {
		if r := grants[i].role; r != nil && r.allows(q) {
			return grants[i].bindings[0]
		}
	}
	return nil
}

// granted visits what the user has in all namespaces and in this one; under mu.
func (e *Engine) granted(u user.Info, namespace string, visit func(grant)) {
	scopes := []string{"", namespace}
	if namespace == "" {
		scopes = scopes[:1]
	}
	for _, scope := range scopes {
		for _, g := range e.grants[holder{scope, false, u.GetName()}] {
			visit(g)
		}
		for _, group := range u.GetGroups() {
			for _, g := range e.grants[holder{scope, true, group}] {
				visit(g)
			}
		}
	}
}

// broken are the errors of bindings that grant nothing; under mu.
func (e *Engine) broken(u user.Info, namespace string) []error {
	var errs []error
	e.granted(u, namespace, func(g grant) {
		switch {
		case g.role == nil:
			for _, b := range g.bindings {
				errs = append(errs, fmt.Errorf("unsupported role reference kind: %q", b.ref.Kind))
			}
		case !g.role.exists:
			errs = append(errs, g.role.key.missing())
		}
	})
	return errs
}
