package rbac

import (
	"slices"
	"strings"
	"unique"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// A request is the attributes that rules look at.
type request struct {
	onResource                             bool
	verb, group, resource, sub, name, path string

	verbs     sketch // of verb
	resources sketch // of the spellings of the resource in a rule
}

func newRequest(a authorizer.Attributes) request {
	r := request{onResource: a.IsResourceRequest(), verb: a.GetVerb()}
	r.verbs = sketchOf(r.verb)
	if !r.onResource {
		r.path = a.GetPath()
		return r
	}
	r.group, r.resource, r.sub, r.name = a.GetAPIGroup(), a.GetResource(), a.GetSubresource(), a.GetName()
	if r.sub == "" {
		r.resources = sketchOf(r.resource)
	} else {
		r.resources = sketchOf(r.resource, "/", r.sub) | sketchOf("*/", r.sub)
	}
	return r
}

// A rule is a policy rule with sketches of its verbs and resources.
type rule struct {
	rbacv1.PolicyRule
	verbs     sketch
	resources sketch
}

func newRule(p rbacv1.PolicyRule) rule {
	p.Verbs, p.APIGroups, p.Resources = intern(p.Verbs), intern(p.APIGroups), intern(p.Resources)
	return rule{
		PolicyRule: p,
		verbs:      sketchAll(p.Verbs, rbacv1.VerbAll),
		resources:  sketchAll(p.Resources, rbacv1.ResourceAll),
	}
}

// intern keeps one copy of words that are in most roles.
func intern(words []string) []string {
	for i, word := range words {
		words[i] = unique.Make(word).Value()
	}
	return words
}

func (r *rule) allows(q *request) bool {
	if !r.verbs.mayHave(q.verbs) || !has(r.Verbs, q.verb, rbacv1.VerbAll) {
		return false
	}
	if !q.onResource {
		return r.hasPath(q.path)
	}
	return r.resources.mayHave(q.resources) && has(r.APIGroups, q.group, rbacv1.APIGroupAll) &&
		r.hasResource(q) && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.name))
}

func has(set []string, wanted, wildcard string) bool {
	for _, s := range set {
		if s == wanted || s == wildcard {
			return true
		}
	}
	return false
}

// hasResource knows the spellings *, RESOURCE, RESOURCE/SUBRESOURCE and */SUBRESOURCE.
func (r *rule) hasResource(q *request) bool {
	for _, s := range r.Resources {
		switch {
		case s == rbacv1.ResourceAll:
			return true
		case q.sub == "":
			if s == q.resource {
				return true
			}
		default:
			before, found := strings.CutSuffix(s, q.sub)
			if found && (before == "*/" || len(before) == len(q.resource)+1 && before[len(q.resource)] == '/' && strings.HasPrefix(before, q.resource)) {
				return true
			}
		}
	}
	return false
}

// hasPath knows exact paths and those that end in *.
func (r *rule) hasPath(path string) bool {
	for _, s := range r.NonResourceURLs {
		if s == rbacv1.NonResourceAll || s == path ||
			strings.HasSuffix(s, "*") && strings.HasPrefix(path, strings.TrimRight(s, "*")) {
			return true
		}
	}
	return false
}

// Rules are permissions by themselves, that no binding gives to anybody.
type Rules struct{ role role }

// NewRules takes the rules over.
func NewRules(policy []rbacv1.PolicyRule) *Rules {
	r := &Rules{}
	r.role.set(policy)
	return r
}

// Allow says whether one of the rules allows the request, whoever makes it.
func (r *Rules) Allow(a authorizer.Attributes) bool {
	q := newRequest(a)
	return r.role.allows(&q)
}
