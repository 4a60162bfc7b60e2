// Package impersonation owns requests that somebody makes as somebody else
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation).
//
// There are five modes. Four are constrained (https://kep.k8s.io/5284): the caller
// must be allowed both to be such a user and to do what the request does as one.
// The old one, where being allowed to be somebody is enough, comes last. The first
// that allows it counts; when none does, the first refusal is the answer. Nothing
// is remembered between requests: the authorizer is fast, and a right that was
// taken away is gone.
package impersonation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation/metrics"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// A Checker lets callers be somebody else.
type Checker struct {
	authorizer authorizer.UnconditionalAuthorizer
}

// New returns a checker that asks the authorizer.
func New(a authorizer.UnconditionalAuthorizer) *Checker {
	metrics.RegisterMetrics()
	return &Checker{authorizer: a}
}

// Impersonated is a user that a caller may be.
type Impersonated struct {
	User user.Info
	// Constraint is the verb that allowed it, for the audit log; empty in the
	// old mode.
	Constraint string
}

// Check says who the caller becomes for the request that the attributes describe,
// or returns why it may not, an API status.
func (c *Checker) Check(ctx context.Context, wanted *user.DefaultInfo, request authorizer.Attributes) (*Impersonated, error) {
	began := time.Now()
	var refusal error
	for _, m := range modes {
		if m.fits != nil && !m.fits(wanted, request.GetUser()) {
			continue
		}
		allowed, err := (&check{Checker: c, mode: m, request: request}).run(ctx, wanted)
		if err == nil {
			metrics.RecordImpersonationAttempt(m.name, "allowed", time.Since(began))
			return &Impersonated{User: allowed, Constraint: m.constraint()}, nil
		}
		if refusal == nil {
			refusal = err
		}
	}
	metrics.RecordImpersonationAttempt("", "denied", time.Since(began))
	if refusal == nil {
		refusal = errors.New("all impersonation modes failed")
	}
	return nil, refusal
}

// ask asks the authorizer and makes a 403 of a refusal.
func (c *check) ask(ctx context.Context, attributes authorizer.Attributes) error {
	began := time.Now()
	decision, reason, err := c.authorizer.Authorize(ctx, attributes)
	label := "denied"
	if decision == authorizer.DecisionAllow {
		label = "allowed"
	}
	metrics.RecordImpersonationAuthorizationCall(c.mode.name, label, time.Since(began))
	switch {
	case decision == authorizer.DecisionAllow: // an error may have come with it
		return nil
	case apierrors.IsForbidden(err):
		return err
	case err != nil && reason != "":
		reason = fmt.Sprintf("%v: %s", err, reason)
	case err != nil:
		reason = err.Error()
	}
	return responsewriters.ForbiddenStatusError(attributes, reason)
}

// verbOn is what a caller must be allowed to do as another user: the request with
// the mode before its verb.
type verbOn struct {
	authorizer.Attributes
	mode string
	user user.Info
}

func (v verbOn) GetVerb() string {
	return strings.Join([]string{"impersonate-on", v.mode, v.Attributes.GetVerb()}, ":")
}

func (v verbOn) GetUser() user.Info { return v.user }
