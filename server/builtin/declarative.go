package builtin

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// validateWithoutCopies gives a store strategies that answer faster for valid
// objects. Upstream's declarative validation (KEP-5073) copies an object before it
// converts it to the version whose rules it applies; these copies were 8 % of what
// creating a pod allocates.
func validateWithoutCopies(store *genericregistry.Store, scheme *runtime.Scheme) {
	switch s := store.CreateStrategy.(type) {
	case createStrategy: // a store has several rows: versions, subresources
	case declarativeCreateStrategy:
		store.CreateStrategy = createStrategy{s, validation{s, scheme}}
	}
	switch s := store.UpdateStrategy.(type) {
	case updateStrategy:
	case declarativeUpdateStrategy:
		store.UpdateStrategy = updateStrategy{s, validation{s, scheme}}
	}
}

type declarativeCreateStrategy interface {
	rest.RESTCreateStrategy
	rest.DeclarativeValidationStrategy
}

type declarativeUpdateStrategy interface {
	rest.RESTUpdateStrategy
	rest.DeclarativeValidationStrategy
}

// What upstream asks a strategy for beyond its interface is only declarative
// validation, so a shell hides nothing.
type createStrategy struct {
	rest.RESTCreateStrategy
	validation
}

type updateStrategy struct {
	rest.RESTUpdateStrategy
	validation
}

type validation struct {
	rest.DeclarativeValidationStrategy
	scheme *runtime.Scheme
}

// ValidateDeclaratively leaves everything that is in the least wrong to upstream,
// which then compares, counts and orders the errors.
func (v validation) ValidateDeclaratively(ctx context.Context, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	if len(errs) == 0 && v.valid(ctx, obj, old, op, config) {
		return errs
	}
	return v.DeclarativeValidationStrategy.ValidateDeclaratively(ctx, obj, old, errs, op, config)
}

// valid reports whether the rules are sure to find nothing.
func (v validation) valid(ctx context.Context, obj, old runtime.Object, op operation.Type, config rest.DeclarativeValidationConfig) (valid bool) {
	defer func() {
		if recover() != nil { // upstream will report it
			valid = false
		}
	}()
	info, ok := request.RequestInfoFrom(ctx)
	if !ok {
		return false
	}
	version := schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	if config.SubresourceGVKMapper != nil {
		version = config.SubresourceGVKMapper.GroupVersionKind(version).GroupVersion()
	}
	var subresources []string
	if info.Subresource != "" {
		subresources = strings.Split(info.Subresource, "/")
		if slices.Contains(subresources, "") {
			return false
		}
	}
	// Rules only read, so the converted object may share memory.
	versioned, err := v.scheme.UnsafeConvertToVersion(obj, version)
	if err != nil || versioned == obj {
		return false
	}
	if op == operation.Create {
		return len(v.scheme.Validate(ctx, config.Options, versioned, subresources...)) == 0
	}
	if op != operation.Update {
		return false
	}
	versionedOld, err := v.scheme.UnsafeConvertToVersion(old, version)
	if err != nil || versionedOld == old {
		return false
	}
	return len(v.scheme.ValidateUpdate(ctx, config.Options, versioned, versionedOld, subresources...)) == 0
}
