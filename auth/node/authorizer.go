package node

import (
	"context"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/pkg/features"

	"github.com/howdah/howdah/auth/rbac"
)

var (
	_ authorizer.Authorizer   = (*Authorizer)(nil)
	_ authorizer.RuleResolver = (*Authorizer)(nil)
)

// An Authorizer allows kubelets what they need and has no opinion on the rest.
type Authorizer struct {
	relations  Relations
	identifier nodeidentifier.NodeIdentifier
	rules      *rbac.Rules
	gates      featuregate.FeatureGate
}

// Relations say what belongs to a node.
type Relations interface {
	// Related says whether the object is the node's, or one that a pod of the
	// node refers to. What does not exist is not.
	Related(node string, kind Kind, namespace, name string) bool
}

// A Kind is of objects that can belong to a node.
type Kind byte

const (
	Pod                Kind = 'o'
	Secret             Kind = 's'
	ConfigMap          Kind = 'c'
	ServiceAccount     Kind = 'a'
	VolumeClaim        Kind = 'v'
	ResourceClaim      Kind = 'r'
	Volume             Kind = 'p'
	VolumeAttachment   Kind = 't'
	ResourceSlice      Kind = 'l'
	CertificateRequest Kind = 'q'
)

// New returns an authorizer. The rules are what every node may do, for resources
// that are not divided among the nodes.
func New(relations Relations, rules []rbacv1.PolicyRule, gates featuregate.FeatureGate) *Authorizer {
	return &Authorizer{
		relations: relations, identifier: nodeidentifier.NewDefaultNodeIdentifier(),
		rules: rbac.NewRules(rules), gates: gates,
	}
}

// Authorize implements [authorizer.Authorizer].
func (a *Authorizer) Authorize(_ context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	node, is := a.identifier.NodeIdentity(attributes.GetUser())
	if !is {
		return authorizer.DecisionNoOpinion, "", nil
	}
	if node == "" {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("unknown node for user %q", attributes.GetUser().GetName()), nil
	}
	allowed, reason := a.decide(node, attributes)
	if allowed {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, reason, nil
}

// ConditionsAwareAuthorize implements [authorizer.Authorizer]: there are no conditions.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attributes))
}

// EvaluateConditions implements [authorizer.Authorizer].
func (*Authorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor says of nodes that their permissions can't be listed.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, _ string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	if _, is := a.identifier.NodeIdentity(u); is {
		return nil, nil, true, errors.New("node authorizer does not support user rule resolution")
	}
	return nil, nil, false, nil
}

// A call is one request of a node.
type call struct {
	authorizer.Attributes
	*Authorizer
	node string
}

// decide says whether the node may, and if not, why: in upstream's words.
func (a *Authorizer) decide(node string, attributes authorizer.Attributes) (bool, string) {
	c := call{attributes, a, node}
	if c.IsResourceRequest() {
		switch (schema.GroupResource{Group: c.GetAPIGroup(), Resource: c.GetResource()}) {
		case schema.GroupResource{Resource: "secrets"}:
			return c.read(Secret)
		case schema.GroupResource{Resource: "configmaps"}:
			return c.read(ConfigMap)
		case schema.GroupResource{Resource: "serviceaccounts"}:
			return c.account()
		case schema.GroupResource{Resource: "persistentvolumeclaims"}:
			if c.GetSubresource() == "status" {
				return c.updateStatus(VolumeClaim)
			}
			return c.get(VolumeClaim)
		case schema.GroupResource{Resource: "persistentvolumes"}:
			return c.get(Volume)
		case schema.GroupResource{Group: "storage.k8s.io", Resource: "volumeattachments"}:
			return c.get(VolumeAttachment)
		case schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceclaims"}:
			return c.get(ResourceClaim)
		case schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceslices"}:
			return c.slice()
		case schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}:
			return c.lease()
		case schema.GroupResource{Group: "storage.k8s.io", Resource: "csinodes"}:
			return c.csiNode()
		case schema.GroupResource{Resource: "nodes"}:
			return c.self()
		case schema.GroupResource{Resource: "pods"}:
			return c.pod()
		case schema.GroupResource{Group: "certificates.k8s.io", Resource: "podcertificaterequests"}:
			if a.gates.Enabled(features.PodCertificateRequest) {
				return c.certificateRequest()
			}
			return false, ""
		}
	}
	return a.rules.Allow(attributes), ""
}

// selects says whether a list or a watch asks for objects of the node only.
func (c call) selects(field string) bool {
	requirements, _ := c.GetFieldSelector() // what can't be parsed selects nothing
	for _, r := range requirements {
		if r.Field == field && r.Operator == selection.Equals && r.Value == c.node {
			return true
		}
	}
	return false
}

// related allows what belongs to the node.
func (c call) related(kind Kind) (bool, string) {
	switch {
	case c.GetName() == "":
		return false, "No Object name found"
	case !c.relations.Related(c.node, kind, c.GetNamespace(), c.GetName()):
		return false, fmt.Sprintf("no relationship found between node '%s' and this object", c.node)
	}
	return true, ""
}
