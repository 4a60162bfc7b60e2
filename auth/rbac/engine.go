package rbac

import (
	"slices"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/howdah/howdah/storage"
)

// An Engine holds roles and bindings and decides by them. Its methods may be
// called by several goroutines; a change is seen by every decision that begins
// after it.
type Engine struct {
	mu       sync.RWMutex
	roles    map[roleKey]*role
	bindings map[bindingKey]*binding
	grants   map[holder][]grant

	followers []*storage.Follower // set by Follow
}

// A grant is one role that a holder has, and through which bindings.
type grant struct {
	role     *role // nil: the bindings refer to something that is no role
	bindings []*binding
}

// NewEngine returns an engine without any role: it allows nothing.
func NewEngine() *Engine {
	return &Engine{roles: map[roleKey]*role{}, bindings: map[bindingKey]*binding{}, grants: map[holder][]grant{}}
}

// SetRole keeps a Role, or, without a namespace, a ClusterRole. The rules are
// the engine's from then on.
func (e *Engine) SetRole(namespace, name string, rules []rbacv1.PolicyRule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.role(roleKey{namespace == "", namespace, name}).set(rules)
}

// DeleteRole forgets a role. Bindings to it stay, and grant nothing.
func (e *Engine) DeleteRole(namespace, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.roles[roleKey{namespace == "", namespace, name}]; r != nil {
		*r = role{key: r.key, held: r.held}
		e.release(r)
	}
}

// SetBinding keeps a RoleBinding, or, without a namespace, a ClusterRoleBinding.
func (e *Engine) SetBinding(namespace, name string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := bindingKey{namespace, name}
	e.deleteBinding(key)
	b := &binding{key: key, ref: ref, subjects: make([]subject, len(subjects))}
	for i := range subjects {
		b.subjects[i].Subject = subjects[i]
	}
	switch ref.Kind {
	case "ClusterRole":
		b.role = e.role(roleKey{cluster: true, name: ref.Name})
	case "Role":
		b.role = e.role(roleKey{namespace: namespace, name: ref.Name})
	}
	if b.role != nil {
		b.role.held++
	}
	e.bindings[key] = b
	for _, h := range b.holders() {
		e.grants[h] = granted(e.grants[h], b)
	}
}

// DeleteBinding forgets a binding.
func (e *Engine) DeleteBinding(namespace, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deleteBinding(bindingKey{namespace, name})
}

func (e *Engine) deleteBinding(key bindingKey) {
	b := e.bindings[key]
	if b == nil {
		return
	}
	delete(e.bindings, key)
	for _, h := range b.holders() {
		if left := withdrawn(e.grants[h], b); len(left) > 0 {
			e.grants[h] = left
		} else {
			delete(e.grants, h)
		}
	}
	if b.role != nil {
		b.role.held--
		e.release(b.role)
	}
}

func (e *Engine) role(key roleKey) *role {
	r := e.roles[key]
	if r == nil {
		r = &role{key: key}
		e.roles[key] = r
	}
	return r
}

// release forgets the role if nothing needs it any more.
func (e *Engine) release(r *role) {
	if !r.exists && r.held == 0 {
		delete(e.roles, r.key)
	}
}

// holders are those of the binding's subjects, each once.
func (b *binding) holders() []holder {
	holders := make([]holder, 0, len(b.subjects))
	seen := make(map[holder]bool, len(b.subjects))
	for i := range b.subjects {
		if h, ok := b.holder(&b.subjects[i].Subject); ok && !seen[h] {
			seen[h] = true
			holders = append(holders, h)
		}
	}
	return holders
}

func granted(grants []grant, b *binding) []grant {
	i := slices.IndexFunc(grants, func(g grant) bool { return g.role == b.role })
	if i < 0 {
		return append(grants, grant{b.role, []*binding{b}})
	}
	grants[i].bindings = append(grants[i].bindings, b)
	return grants
}

func withdrawn(grants []grant, b *binding) []grant {
	i := slices.IndexFunc(grants, func(g grant) bool { return g.role == b.role })
	if i < 0 {
		return grants
	}
	grants[i].bindings = slices.DeleteFunc(grants[i].bindings, func(other *binding) bool { return other == b })
	if len(grants[i].bindings) == 0 {
		return slices.Delete(grants, i, i+1)
	}
	return grants
}
