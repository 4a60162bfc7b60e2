// Package upstream_test holds the engine against kube-apiserver's own RBAC
// authorizer: same policy, same requests, same answers. It is apart from the
// engine's other tests because it needs k8s.io/kubernetes.
package upstream_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"

	"github.com/howdah/howdah/auth/rbac"
)

// dice make decisions from bytes, so that a fuzzer can steer them; when the
// bytes are used up they go on pseudo-randomly.
type dice struct {
	data  []byte
	state uint64
}

func (d *dice) roll(n int) int {
	if len(d.data) > 0 {
		v := int(d.data[0])
		d.data = d.data[1:]
		d.state = d.state*31 + uint64(v)
		return v % n
	}
	d.state = d.state*6364136223846793005 + 1442695040888963407
	return int((d.state >> 33) % uint64(n))
}

func newDice(data []byte) *dice {
	d := &dice{data: data}
	if len(data) >= 8 {
		d.state = binary.LittleEndian.Uint64(data)
	}
	return d
}

func pick(d *dice, from []string) string { return from[d.roll(len(from))] }

func some(d *dice, most int, from []string) []string {
	var list []string
	for range 1 + d.roll(most) {
		list = append(list, pick(d, from))
	}
	return list
}

// Few words, so that they meet, and those that look alike.
var (
	namespaces = []string{"a", "b", "kube-system"}
	names      = []string{"x", "y", "z", "a", "x:y"}
	users      = []string{"jane", "joe", "x", "system:serviceaccount:a:x", "system:serviceaccount:b:x", "system:serviceaccount:a:x:y", "system:anonymous", ""}
	groups     = []string{"devs", "ops", "system:authenticated", "system:serviceaccounts", "system:serviceaccounts:a", "x", ""}
	verbs      = []string{"get", "get", "get", "list", "*", "*", "use", "GET", ""}
	apiGroups  = []string{"", "", "apps", "*", "app"}
	resources  = []string{"pods", "pods", "pods/log", "pods/*", "*/log", "*/log", "*/scale", "*", "*", "deployments", "deployments/scale", "pod", "/log", "*/", "pods/", "*log", ""}
	bare       = []string{"pods", "pods", "pods", "deployments", "pod", "*", "", "pods/log", "po"}
	subs       = []string{"", "", "log", "scale", "*", "og", "/log"}
	paths      = []string{"/healthz", "/healthz/", "/healthz/*", "/*", "*", "/api*", "/api/v1", "/healthz/**", "/a*/b", "", "/", "//healthz", "/healthz/../metrics", "/HEALTHZ"}
)

// A policy is what both sides are given.
type policy struct {
	roles        map[string]*rbacv1.Role
	clusterRoles map[string]*rbacv1.ClusterRole
	bindings     map[string]*rbacv1.RoleBinding
	clusterWide  map[string]*rbacv1.ClusterRoleBinding
}

func newPolicy() *policy {
	return &policy{map[string]*rbacv1.Role{}, map[string]*rbacv1.ClusterRole{}, map[string]*rbacv1.RoleBinding{}, map[string]*rbacv1.ClusterRoleBinding{}}
}

func rules(d *dice) []rbacv1.PolicyRule {
	var list []rbacv1.PolicyRule
	for range 1 + d.roll(3) {
		r := rbacv1.PolicyRule{Verbs: some(d, 3, verbs)}
		if d.roll(4) == 0 {
			r.NonResourceURLs = some(d, 3, paths)
		} else {
			r.APIGroups, r.Resources = some(d, 2, apiGroups), some(d, 3, resources)
			if d.roll(3) == 0 {
				r.ResourceNames = some(d, 2, names)
			}
		}
		list = append(list, r)
	}
	return list
}

func subjects(d *dice) []rbacv1.Subject {
	var list []rbacv1.Subject
	for range 1 + d.roll(3) {
		switch d.roll(7) {
		case 0, 1:
			list = append(list, rbacv1.Subject{Kind: "User", Name: pick(d, users)})
		case 2, 3:
			list = append(list, rbacv1.Subject{Kind: "Group", Name: pick(d, groups)})
		case 4, 5:
			s := rbacv1.Subject{Kind: "ServiceAccount", Name: pick(d, names)}
			if d.roll(2) == 0 {
				s.Namespace = pick(d, namespaces)
			}
			list = append(list, s)
		default:
			list = append(list, rbacv1.Subject{Kind: "Robot", Name: pick(d, users)})
		}
	}
	return list
}

// change makes one change to the policy and to the engine.
func (p *policy) change(d *dice, e *rbac.Engine) {
	namespace, name := pick(d, namespaces), pick(d, names)
	key := namespace + "/" + name
	remove := d.roll(8) == 0
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: pick(d, []string{"ClusterRole", "ClusterRole", "ClusterRole", "Role", "Role", "Robot"}), Name: pick(d, names)}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	switch d.roll(4) {
	case 0:
		if delete(p.roles, key); remove {
			e.DeleteRole(namespace, name)
			return
		}
		r := &rbacv1.Role{ObjectMeta: meta, Rules: rules(d)}
		p.roles[key] = r
		e.SetRole(namespace, name, r.DeepCopy().Rules)
	case 1:
		if delete(p.clusterRoles, name); remove {
			e.DeleteRole("", name)
			return
		}
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules(d)}
		p.clusterRoles[name] = r
		e.SetRole("", name, r.DeepCopy().Rules)
	case 2:
		if delete(p.bindings, key); remove {
			e.DeleteBinding(namespace, name)
			return
		}
		b := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects(d)}
		p.bindings[key] = b
		e.SetBinding(namespace, name, ref, b.Subjects)
	default:
		if delete(p.clusterWide, name); remove {
			e.DeleteBinding("", name)
			return
		}
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects(d)}
		p.clusterWide[name] = b
		e.SetBinding("", name, ref, b.Subjects)
	}
}

// authorizer is upstream's, with the policy in the caches that kube-apiserver has it in.
func (p *policy) authorizer() *upstream.RBACAuthorizer { return upstream.New(p.listers()) }

// resolver is upstream's, for its check against escalation.
func (p *policy) resolver() validation.AuthorizationRuleResolver {
	return validation.NewDefaultRuleResolver(p.listers())
}

func (p *policy) listers() (validation.RoleGetter, validation.RoleBindingLister, validation.ClusterRoleGetter, validation.ClusterRoleBindingLister) {
	indexer := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	roles, clusterRoles, bindings, clusterWide := indexer(), indexer(), indexer(), indexer()
	fill(roles, p.roles)
	fill(clusterRoles, p.clusterRoles)
	fill(bindings, p.bindings)
	fill(clusterWide, p.clusterWide)
	return &upstream.RoleGetter{Lister: rbaclisters.NewRoleLister(roles)},
		&upstream.RoleBindingLister{Lister: rbaclisters.NewRoleBindingLister(bindings)},
		&upstream.ClusterRoleGetter{Lister: rbaclisters.NewClusterRoleLister(clusterRoles)},
		&upstream.ClusterRoleBindingLister{Lister: rbaclisters.NewClusterRoleBindingLister(clusterWide)}
}

func fill[T any](indexer cache.Indexer, objects map[string]T) {
	for _, o := range objects {
		if err := indexer.Add(o); err != nil {
			panic(err) // the key function can't fail on objects with metadata
		}
	}
}

// only is the policy with one binding, the one that a reason names.
func (p *policy) only(binding string) *policy {
	one := newPolicy()
	one.roles, one.clusterRoles = p.roles, p.clusterRoles
	for key, b := range p.bindings {
		if fmt.Sprintf("RoleBinding %q", b.Name+"/"+b.Namespace) == binding {
			one.bindings[key] = b
		}
	}
	for key, b := range p.clusterWide {
		if fmt.Sprintf("ClusterRoleBinding %q", b.Name) == binding {
			one.clusterWide[key] = b
		}
	}
	return one
}

func request(d *dice) authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: pick(d, users), Groups: some(d, 3, groups)},
		Verb: pick(d, verbs),
	}
	if d.roll(4) == 0 {
		a.Path = pick(d, paths)
		return a
	}
	a.ResourceRequest, a.APIGroup, a.Resource, a.Subresource = true, pick(d, apiGroups), pick(d, bare), pick(d, subs)
	a.Name = pick(d, append(slices.Clone(names), "", ""))
	a.Namespace = pick(d, append(slices.Clone(namespaces), "", "c"))
	return a
}
