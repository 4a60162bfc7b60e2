package upstream_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"

	"github.com/howdah/howdah/auth/rbac"
)

// TestDecisions makes many policies and asks both about each.
func TestDecisions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for range 200 {
		data := make([]byte, 2000)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		allowed += checkDecisions(t, data)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d requests were allowed", allowed)
	if allowed < 1000 {
		t.Errorf("only %d requests were allowed, the test shows little", allowed)
	}
}

// FuzzDecisions needs -fuzzminimizetime=1x: what is covered differs from run to run, so
// that without it all of the time goes into shortening inputs.
func FuzzDecisions(f *testing.F) {
	f.Add([]byte("roles and bindings"))
	f.Fuzz(func(t *testing.T, data []byte) { checkDecisions(t, data) })
}

func checkDecisions(t *testing.T, data []byte) (allowed int) {
	t.Helper()
	d, p, e := newDice(data), newPolicy(), rbac.NewEngine()
	ours := &rbac.Resolver{Engine: e, Sync: func(context.Context) (int64, error) { return 0, nil }}
	for range 4 {
		for range 5 + d.roll(30) {
			p.change(d, e)
		}
		theirs := p.authorizer()
		for range 60 {
			a := request(d)
			decision, reason, err := e.Authorize(t.Context(), a)
			wantDecision, wantReason, wantErr := theirs.Authorize(t.Context(), a)
			if decision != wantDecision || err != nil || wantErr != nil {
				t.Fatalf("%+v of %+v: %v %q %v, upstream says %v %q %v", a, a.User, decision, reason, err, wantDecision, wantReason, wantErr)
			}
			if decision == authorizer.DecisionAllow {
				allowed++
				wantReason = reasonOf(t, p, a, reason)
			} else {
				reason, wantReason = inOrder(reason), inOrder(wantReason)
			}
			if reason != wantReason {
				t.Fatalf("%+v of %+v: reason %q, upstream's is %q", a, a.User, reason, wantReason)
			}
			got, want := list(t, e, a), list(t, theirs, a)
			if !slices.Equal(got, want) {
				t.Fatalf("the rules of %+v in %q:\n%v\nupstream lists\n%v", a.User, a.Namespace, got, want)
			}
			ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: pick(d, []string{"ClusterRole", "Role", "Robot"}), Name: pick(d, names)}
			if got, want := check(t, ours, a, ref), check(t, p.resolver(), a, ref); got != want {
				t.Fatalf("%+v gives %+v in %q: %q, upstream says %q", a.User, ref, a.Namespace, got, want)
			}
		}
	}
	return allowed
}

// reasonOf is what upstream says when there is only the binding that ours names:
// which one of several it meets first is chance.
func reasonOf(t *testing.T, p *policy, a authorizer.Attributes, reason string) string {
	binding, _, _ := strings.Cut(strings.TrimPrefix(reason, "RBAC: allowed by "), " of ")
	_, alone, err := p.only(binding).authorizer().Authorize(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return alone
}

// inOrder sorts the errors of a reason, whose order is chance.
func inOrder(reason string) string {
	text, list := strings.CutPrefix(reason, "RBAC: [")
	if !list {
		return reason
	}
	errs := strings.Split(strings.TrimSuffix(text, "]"), ", ")
	slices.Sort(errs)
	return strings.Join(errs, ", ")
}

// check is what upstream's check against escalation says of a user who binds a
// role: nothing if it may be.
func check(t *testing.T, r validation.AuthorizationRuleResolver, a authorizer.Attributes, ref rbacv1.RoleRef) string {
	ctx := apirequest.WithNamespace(apirequest.WithUser(t.Context(), a.GetUser()), a.GetNamespace())
	rules, err := r.GetRoleReferenceRules(ctx, ref, a.GetNamespace())
	if err == nil {
		err = validation.ConfirmNoEscalation(ctx, r, rules)
	}
	switch {
	case err == nil:
		return ""
	case apierrors.IsNotFound(err):
		return "there is no such role"
	}
	text, _, _ := strings.Cut(err.Error(), "; resolution errors") // their order is chance
	return text
}

// list is what a SelfSubjectRulesReview says, each rule once.
func list(t *testing.T, r authorizer.RuleResolver, a authorizer.Attributes) []string {
	resources, paths, incomplete, err := r.RulesFor(t.Context(), a.GetUser(), a.GetNamespace())
	var rules []string
	add := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, string(text))
	}
	for _, rule := range resources {
		add(rule)
	}
	for _, rule := range paths {
		add(rule)
	}
	if incomplete {
		rules = append(rules, "incomplete")
	}
	if err != nil {
		rules = append(rules, inOrder("RBAC: "+err.Error()))
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}
