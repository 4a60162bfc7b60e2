package write

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/warning"
)

const (
	duplicateOwners          = ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v"
	duplicateOwnersAdmission = ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %v"
)

// dedupOwners drops owner references that say the same twice, and warns of it
// in the words of warn.
func dedupOwners(ctx context.Context, obj runtime.Object, warn string) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return // no metadata
	}
	owners := accessor.GetOwnerReferences()
	if len(owners) < 2 {
		return
	}
	var kept []metav1.OwnerReference
	var duplicates []string
	for _, owner := range owners {
		same := func(other metav1.OwnerReference) bool {
			return other.UID == owner.UID && apiequality.Semantic.DeepEqual(other, owner)
		}
		if slices.ContainsFunc(kept, same) {
			duplicates = append(duplicates, string(owner.UID))
		} else {
			kept = append(kept, owner)
		}
	}
	if len(duplicates) == 0 {
		return
	}
	warning.AddWarning(ctx, "", fmt.Sprintf(warn, strings.Join(duplicates, ", ")))
	accessor.SetOwnerReferences(kept)
}
