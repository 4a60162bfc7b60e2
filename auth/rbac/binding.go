package rbac

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A bindingKey names a RoleBinding; without a namespace a ClusterRoleBinding.
type bindingKey struct{ namespace, name string }

// A holder is to whom roles are bound: a user, which a service account is by
// its user name, or a group; in one namespace, or in all: "".
type holder struct {
	namespace string
	group     bool
	name      string
}

type binding struct {
	key      bindingKey
	ref      rbacv1.RoleRef
	role     *role // nil: the kind of the reference is unknown
	subjects []subject
}

// A subject is one of a binding's, with what an allowed request is told.
type subject struct {
	rbacv1.Subject
	reason atomic.Pointer[string] // made when first needed
}

// holder returns who the subject is; false for kinds that nobody is.
func (b *binding) holder(s *rbacv1.Subject) (holder, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return holder{b.key.namespace, false, s.Name}, true
	case rbacv1.GroupKind:
		return holder{b.key.namespace, true, s.Name}, true
	case rbacv1.ServiceAccountKind:
		namespace := b.accountNamespace(s)
		return holder{b.key.namespace, false, serviceaccount.MakeUsername(namespace, s.Name)}, namespace != ""
	}
	return holder{}, false
}

// accountNamespace is the binding's own where the subject leaves it out.
func (b *binding) accountNamespace(s *rbacv1.Subject) string {
	if s.Namespace != "" {
		return s.Namespace
	}
	return b.key.namespace
}

// reason says why the user, who is one of the subjects, was allowed something.
// It names the first subject that the user is.
func (b *binding) reason(u user.Info) string {
	for i := range b.subjects {
		s := &b.subjects[i]
		if !b.is(u, &s.Subject) {
			continue
		}
		known := s.reason.Load()
		if known == nil {
			made := b.describe(&s.Subject)
			known = &made
			s.reason.Store(known)
		}
		return *known
	}
	return ""
}

func (b *binding) is(u user.Info, s *rbacv1.Subject) bool {
	switch s.Kind {
	case rbacv1.UserKind:
		return s.Name == u.GetName()
	case rbacv1.GroupKind:
		return slices.Contains(u.GetGroups(), s.Name)
	case rbacv1.ServiceAccountKind:
		namespace := b.accountNamespace(s)
		return namespace != "" && serviceaccount.MatchesUsername(namespace, s.Name, u.GetName())
	}
	return false
}

func (b *binding) describe(s *rbacv1.Subject) string {
	var text strings.Builder
	text.WriteString("RBAC: allowed by ")
	if b.key.namespace == "" {
		text.WriteString("ClusterRoleBinding " + strconv.Quote(b.key.name))
	} else {
		text.WriteString("RoleBinding " + strconv.Quote(b.key.name+"/"+b.key.namespace))
	}
	text.WriteString(" of " + b.ref.Kind + " " + strconv.Quote(b.ref.Name) + " to " + s.Kind + " ")
	if s.Kind == rbacv1.ServiceAccountKind {
		text.WriteString(strconv.Quote(s.Name + "/" + b.accountNamespace(s)))
	} else {
		text.WriteString(strconv.Quote(s.Name))
	}
	return text.String()
}
