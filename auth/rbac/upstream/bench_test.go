package upstream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/howdah/howdah/auth/rbac"
)

// The cluster of the benchmark: half of the bindings are of one namespace, half
// of all, so every tenth binding is of a user who has others.
const (
	benchRoles      = 2_000
	benchBindings   = 10_000
	benchNamespaces = 500
	benchUsers      = 1_000
	rulesInRole     = 10
)

func benchPolicy(bindings int) *policy {
	p := newPolicy()
	for i := range benchRoles {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("role-", i)}}
		for j := range rulesInRole {
			r.Rules = append(r.Rules, rbacv1.PolicyRule{
				Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"}, APIGroups: []string{fmt.Sprintf("group-%d.example.org", i%50)},
				Resources: []string{fmt.Sprintf("kind-%d", i+j), fmt.Sprintf("kind-%d/status", i+j)},
			})
		}
		p.clusterRoles[r.Name] = r
	}
	for i := range bindings {
		name := fmt.Sprint("binding-", i)
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: fmt.Sprint("role-", i%benchRoles)}
		subjects := []rbacv1.Subject{{Kind: "User", Name: fmt.Sprint("user-", i%benchUsers)}, {Kind: "Group", Name: fmt.Sprint("group-", i%100)}}
		if i%2 == 0 {
			p.clusterWide[name] = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects}
			continue
		}
		namespace := fmt.Sprint("ns-", i%benchNamespaces)
		p.bindings[namespace+"/"+name] = &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: ref, Subjects: subjects}
	}
	return p
}

func (p *policy) engine() *rbac.Engine {
	e := rbac.NewEngine()
	for name, r := range p.clusterRoles {
		e.SetRole("", name, r.DeepCopy().Rules)
	}
	for name, b := range p.clusterWide {
		e.SetBinding("", name, b.RoleRef, b.Subjects)
	}
	for _, b := range p.bindings {
		e.SetBinding(b.Namespace, b.Name, b.RoleRef, b.Subjects)
	}
	return e
}

// benchRequests are of users with one of the bound groups beside the usual ones;
// about half of them are allowed.
func benchRequests() []authorizer.Attributes {
	random := rand.New(rand.NewPCG(1, 1))
	requests := make([]authorizer.Attributes, 4096)
	for i := range requests {
		u := random.IntN(benchUsers)
		role := (u + benchUsers*random.IntN(2)) % benchRoles
		a := &authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: fmt.Sprint("user-", u), Groups: []string{fmt.Sprint("group-", u%100), "system:authenticated"}},
			Verb: "update", Namespace: fmt.Sprint("ns-", u%benchNamespaces), ResourceRequest: true,
			APIGroup: fmt.Sprintf("group-%d.example.org", role%50), Resource: fmt.Sprintf("kind-%d", role+random.IntN(rulesInRole)), Name: "x",
		}
		if i%2 == 0 {
			a.Verb = "deletecollection"
		}
		requests[i] = a
	}
	return requests
}

func BenchmarkDecision(b *testing.B) {
	for _, bindings := range []int{100, benchBindings} {
		p := benchPolicy(bindings)
		requests := benchRequests()
		for _, side := range []struct {
			name string
			authorizer.Authorizer
		}{{"howdah", p.engine()}, {"upstream", p.authorizer()}} {
			b.Run(fmt.Sprintf("bindings=%d/%s", bindings, side.name), func(b *testing.B) {
				b.ReportAllocs()
				took := make([]time.Duration, 0, 1<<20)
				allowed, i := 0, 0
				for b.Loop() {
					began := time.Now()
					decision, _, _ := side.Authorize(b.Context(), requests[i%len(requests)])
					if len(took) < cap(took) {
						took = append(took, time.Since(began))
					}
					if decision == authorizer.DecisionAllow {
						allowed++
					}
					i++
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
				b.ReportMetric(100*float64(allowed)/float64(i), "%allowed")
			})
		}
	}
}
