package custom

import (
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
)

type (
	condition = apiextensionsv1.CustomResourceDefinitionCondition
	names     = apiextensionsv1.CustomResourceDefinitionNames
)

// taken are the names that the definitions of a group have.
type taken struct{ resources, kinds sets.Set[string] }

func takenBy(definitions []*definition) taken {
	t := taken{sets.New[string](), sets.New[string]()}
	for _, d := range definitions {
		accepted := d.Status.AcceptedNames
		t.resources.Insert(accepted.Plural, accepted.Singular).Insert(accepted.ShortNames...)
		t.kinds.Insert(accepted.Kind, accepted.ListKind)
	}
	return t
}

// acceptNames gives a definition those of the names that it asks for which
// nobody else in its group has, and says whether that is all of them.
func acceptNames(wanted, has names, t taken) (names, condition) {
	accepted := has
	verdict := condition{
		Type: apiextensionsv1.NamesAccepted, Status: apiextensionsv1.ConditionTrue,
		Reason: "NoConflicts", Message: "no conflicts found",
	}
	refuse := func(reason string, err error) {
		verdict.Status, verdict.Reason, verdict.Message = apiextensionsv1.ConditionFalse, reason, err.Error()
	}
	one := func(name *string, wanted string, taken sets.Set[string], reason string) {
		if err := free(wanted, *name, taken); err != nil {
			refuse(reason, err)
			return
		}
		*name = wanted
	}
	one(&accepted.Plural, wanted.Plural, t.resources, "PluralConflict")
	one(&accepted.Singular, wanted.Singular, t.resources, "SingularConflict")
	if !slices.Equal(wanted.ShortNames, has.ShortNames) {
		var errs []error
		for _, name := range wanted.ShortNames {
			if !slices.Contains(has.ShortNames, name) {
				errs = append(errs, free(name, "", t.resources))
			}
		}
		if err := utilerrors.NewAggregate(errs); err != nil {
			refuse("ShortNamesConflict", err)
		} else {
			accepted.ShortNames = wanted.ShortNames
		}
	}
	one(&accepted.Kind, wanted.Kind, t.kinds, "KindConflict")
	one(&accepted.ListKind, wanted.ListKind, t.kinds, "ListKindConflict")
	accepted.Categories = wanted.Categories
	return accepted, verdict
}

func free(wanted, has string, taken sets.Set[string]) error {
	if wanted != has && taken.Has(wanted) {
		return fmt.Errorf("%q is already in use", wanted)
	}
	return nil
}

// established is the condition Established after the names were judged; it
// becomes true in a step of its own.
func established(crd *apiextensionsv1.CustomResourceDefinition, accepted bool) condition {
	old := apihelpers.FindCRDCondition(crd, apiextensionsv1.Established)
	switch {
	case old != nil && (old.Status == apiextensionsv1.ConditionTrue || !accepted):
		return *old
	case accepted:
		return condition{
			Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionFalse,
			Reason: "Installing", Message: "the initial names have been accepted",
		}
	}
	return condition{
		Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionFalse,
		Reason: "NotAccepted", Message: "not all names are accepted",
	}
}
