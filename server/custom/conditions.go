package custom

import (
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/util/webhook"
)

// judge brings a definition's status up to date and says whether that changed
// it. The definition in the table must be this version of it.
func judge(crd *apiextensionsv1.CustomResourceDefinition, t taken) bool {
	before := crd.Status.DeepCopy()
	if !equality.Semantic.DeepEqual(crd.Spec.Names, crd.Status.AcceptedNames) ||
		!apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.NamesAccepted) {
		accepted, verdict := acceptNames(crd.Spec.Names, crd.Status.AcceptedNames, t)
		crd.Status.AcceptedNames = accepted
		set(crd, verdict)
		set(crd, established(crd, verdict.Status == apiextensionsv1.ConditionTrue))
	} else if !apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) {
		set(crd, establish(crd))
	}
	if verdict := structure(crd); verdict != nil {
		set(crd, *verdict)
	} else {
		apihelpers.RemoveCRDCondition(crd, apiextensionsv1.NonStructuralSchema)
	}
	if verdict := approval(crd); verdict != nil {
		set(crd, *verdict)
	}
	return !equality.Semantic.DeepEqual(before, &crd.Status)
}

// set leaves a condition alone that says the same already.
func set(crd *apiextensionsv1.CustomResourceDefinition, c condition) {
	old := apihelpers.FindCRDCondition(crd, c.Type)
	if old == nil || old.Status != c.Status || old.Reason != c.Reason || old.Message != c.Message {
		apihelpers.SetCRDCondition(crd, c)
	}
}

// establish says that the resources are there, unless they could not be converted.
func establish(crd *apiextensionsv1.CustomResourceDefinition) condition {
	if c := crd.Spec.Conversion; c != nil && c.Webhook != nil && c.Webhook.ClientConfig != nil &&
		len(webhook.ValidateCABundle(field.NewPath(""), c.Webhook.ClientConfig.CABundle)) > 0 {
		return condition{
			Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionFalse,
			Reason: "InvalidCABundle", Message: "The conversion webhook CABundle is invalid",
		}
	}
	return condition{
		Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue,
		Reason: "InitialNamesAccepted", Message: "the initial names have been accepted",
	}
}

// structure is the condition of schemas that are not structural, which only
// definitions from before version v1 can have; nil for those that are.
func structure(crd *apiextensionsv1.CustomResourceDefinition) *condition {
	verdict := condition{Type: apiextensionsv1.NonStructuralSchema, Status: apiextensionsv1.ConditionTrue, Reason: "Violations"}
	var violations field.ErrorList
	if crd.Spec.PreserveUnknownFields {
		violations = append(violations, field.Invalid(field.NewPath("spec", "preserveUnknownFields"), true, "must be false"))
	} else if apihelpers.FindCRDCondition(crd, apiextensionsv1.NonStructuralSchema) == nil {
		return nil // validation has seen to it
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		internal, err := internalSchema(v)
		if err != nil || internal == nil {
			continue
		}
		structural, err := schema.NewStructural(internal)
		if err != nil {
			verdict.Status, verdict.Reason = apiextensionsv1.ConditionUnknown, "StructuralError"
			verdict.Message = fmt.Sprintf("failed to check validation schema for version %s: %v", v.Name, err)
			return &verdict
		}
		path := field.NewPath("spec", "versions").Index(i).Child("schema", "openAPIV3Schema")
		violations = append(violations, schema.ValidateStructural(path, structural)...)
	}
	if len(violations) == 0 {
		return nil
	}
	verdict.Message = violations.ToAggregate().Error()
	return &verdict
}

// approval is the condition of definitions in the community's groups
// (https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/2337-k8s.io-group-protection);
// nil for others.
func approval(crd *apiextensionsv1.CustomResourceDefinition) *condition {
	if !apihelpers.IsProtectedCommunityGroup(crd.Spec.Group) {
		return nil
	}
	verdict := condition{Type: apiextensionsv1.KubernetesAPIApprovalPolicyConformant, Status: apiextensionsv1.ConditionFalse}
	state, message := apihelpers.GetAPIApprovalState(crd.Annotations)
	verdict.Message = message
	switch state {
	case apihelpers.APIApprovalInvalid:
		verdict.Reason = "InvalidAnnotation"
	case apihelpers.APIApprovalMissing:
		verdict.Reason = "MissingAnnotation"
	case apihelpers.APIApproved:
		verdict.Status, verdict.Reason = apiextensionsv1.ConditionTrue, "ApprovedAnnotation"
	case apihelpers.APIApprovalBypassed:
		verdict.Reason = "UnapprovedAnnotation"
	default:
		verdict.Status, verdict.Reason = apiextensionsv1.ConditionUnknown, "UnknownAnnotation"
	}
	return &verdict
}
