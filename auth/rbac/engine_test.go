package rbac

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

func oneRule(verb, resource string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{resource}}}
}

func toUser(name string) []rbacv1.Subject { return []rbacv1.Subject{{Kind: "User", Name: name}} }

func clusterRole(name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
}

func get(who, namespace, resource string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: who}, Verb: "get", Namespace: namespace, Resource: resource, Name: "x", ResourceRequest: true,
	}
}

func (e *Engine) allows(a authorizer.Attributes) bool {
	decision, _, _ := e.Authorize(context.Background(), a)
	return decision == authorizer.DecisionAllow
}

// TestPaths are the tricks that paths can play on non-resource rules. What the
// path is was decided before: no cleaning happens here, as in kube-apiserver.
func TestPaths(t *testing.T) {
	for _, c := range []struct {
		rule, path string
		want       bool
	}{
		{"/healthz", "/healthz", true},
		{"/healthz", "/healthz/", false},
		{"/healthz", "//healthz", false},
		{"/healthz", "/healthz/../metrics", false},
		{"/healthz", "/HEALTHZ", false},
		{"/healthz", "/healthz%2f", false},
		{"/healthz/*", "/healthz/etcd", true},
		{"/healthz/*", "/healthz/", true},
		{"/healthz/*", "/healthz", false},
		{"/healthz/*", "//healthz/etcd", false},
		{"/healthz*", "/healthzy", true},
		{"/a*/b", "/aa/b", false},
		{"/*", "/metrics", true},
		{"/*", "metrics", false},
		{"*", "", true},
		{"", "", true},
		{"", "/", false},
	} {
		e := NewEngine()
		e.SetRole("", "r", []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{c.rule}}})
		e.SetBinding("", "b", clusterRole("r"), toUser("jane"))
		a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "jane"}, Verb: "get", Path: c.path}
		if got := e.allows(a); got != c.want {
			t.Errorf("a rule for %q and the path %q: allowed %v", c.rule, c.path, got)
		}
		a.ResourceRequest, a.Resource = true, c.path
		if e.allows(a) {
			t.Errorf("a rule for the path %q allows a resource request", c.rule)
		}
	}
}

func TestNamespaces(t *testing.T) {
	e := NewEngine()
	e.SetRole("", "reader", oneRule("get", "pods"))
	e.SetRole("a", "reader", oneRule("get", "secrets"))
	e.SetBinding("a", "b", clusterRole("reader"), toUser("jane"))
	e.SetBinding("b", "b", rbacv1.RoleRef{Kind: "Role", Name: "reader"}, toUser("jane")) // no such role in b
	for _, c := range []struct {
		namespace, resource string
		want                bool
	}{
		{"a", "pods", true}, {"a", "secrets", false}, {"b", "pods", false}, {"b", "secrets", false}, {"", "pods", false},
	} {
		if got := e.allows(get("jane", c.namespace, c.resource)); got != c.want {
			t.Errorf("%s in %q: allowed %v", c.resource, c.namespace, got)
		}
	}
	_, reason, _ := e.Authorize(t.Context(), get("jane", "b", "secrets"))
	if want := `RBAC: role.rbac.authorization.k8s.io "reader" not found`; reason != want {
		t.Errorf("the reason is %q, want %q", reason, want)
	}
}

// TestForgotten shows that nothing is kept of what is gone.
func TestForgotten(t *testing.T) {
	e := NewEngine()
	e.SetBinding("", "b", clusterRole("r"), append(toUser("jane"), toUser("jane")...))
	e.SetRole("", "r", oneRule("get", "pods"))
	if !e.allows(get("jane", "", "pods")) {
		t.Error("a role that came after its binding does not count")
	}
	e.DeleteRole("", "r")
	if e.allows(get("jane", "", "pods")) {
		t.Error("a deleted role still counts")
	}
	e.SetBinding("", "b", clusterRole("other"), toUser("joe"))
	e.DeleteBinding("", "b")
	e.DeleteBinding("", "b")
	if len(e.roles)+len(e.bindings)+len(e.grants) > 0 {
		t.Errorf("left over: %v %v %v", e.roles, e.bindings, e.grants)
	}
}

func TestDecisionsAllocateNothing(t *testing.T) {
	e := NewEngine()
	fill(e)
	allowed, denied := get("user-7", "ns-7", "kind-7"), get("user-7", "ns-8", "kind-7")
	allowed.User = &user.DefaultInfo{Name: "user-7", Groups: []string{"a", "b", "c"}}
	if !e.allows(&allowed) || e.allows(&denied) {
		t.Fatal("the policy is not what it should be")
	}
	for name, a := range map[string]authorizer.Attributes{"allowed": &allowed, "denied": &denied} {
		if n := testing.AllocsPerRun(100, func() { e.allows(a) }); n > 0 {
			t.Errorf("a decision that is %s allocates %v times", name, n)
		}
	}
}

func fill(e *Engine) {
	for i := range 100 {
		name := fmt.Sprint("role-", i)
		e.SetRole("", name, oneRule("get", fmt.Sprint("kind-", i)))
		e.SetBinding(fmt.Sprint("ns-", i), "b", clusterRole(name), toUser(fmt.Sprint("user-", i)))
	}
}

// TestConcurrency changes a policy under many readers. What they may at all
// times they are always told so, and never what nobody may.
func TestConcurrency(t *testing.T) {
	e := NewEngine()
	e.SetRole("", "always", oneRule("get", "pods"))
	e.SetBinding("a", "always", clusterRole("always"), toUser("jane"))
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !e.allows(get("jane", "a", "pods")) {
					t.Error("a permission was lost")
				}
				if e.allows(get("jane", "a", "secrets")) || e.allows(get("jane", "b", "pods")) {
					t.Error("a permission that nobody gave")
				}
				e.allows(get("joe", "a", "pods"))
				if _, _, _, err := e.RulesFor(t.Context(), &user.DefaultInfo{Name: "jane"}, "a"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 2 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 3000 {
				name := fmt.Sprint(random.IntN(20))
				switch random.IntN(5) {
				case 0:
					e.SetRole("", name, oneRule("get", "pods"))
				case 1:
					e.DeleteRole("", name)
				case 2:
					e.DeleteBinding("a", name)
				case 3:
					e.SetRole("", "always", oneRule("get", "pods"))
				default:
					e.SetBinding("a", name, clusterRole(name), toUser("joe"))
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
