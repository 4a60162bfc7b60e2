package builtin

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/operation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
)

// TestValidateDeclaratively compares with upstream's validation.
func TestValidateDeclaratively(t *testing.T) {
	upstream := replicationcontroller.Strategy
	ours := validation{upstream, legacyscheme.Scheme}
	controller := func(change func(*api.ReplicationController)) *api.ReplicationController {
		replicas := int32(3)
		c := &api.ReplicationController{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Spec:       api.ReplicationControllerSpec{Replicas: &replicas, Selector: map[string]string{"app": "web"}},
		}
		change(c)
		return c
	}
	same := func(*api.ReplicationController) {}
	negative := func(c *api.ReplicationController) { *c.Spec.Replicas = -1 }
	nameless := func(c *api.ReplicationController) { c.Name = "" }
	handwritten := field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), int32(-1), "must be greater than or equal to 0").WithOrigin("minimum").MarkCoveredByDeclarative()}
	core := &request.RequestInfo{IsResourceRequest: true, APIVersion: "v1", Resource: "replicationcontrollers"}

	for _, test := range []struct {
		name     string
		info     *request.RequestInfo
		obj, old func(*api.ReplicationController)
		errs     field.ErrorList
		valid    bool
	}{
		{"created", core, same, nil, nil, true},
		{"created, invalid", core, negative, nil, nil, false},
		{"created, invalid by both", core, negative, nil, handwritten, false},
		{"created without a name, which isn't for these rules", core, nameless, nil, nil, true},
		{"updated", core, same, same, nil, true},
		{"updated, invalid", core, negative, same, nil, false},
		{"updated, invalid as before", core, negative, negative, nil, true},
		{"no request", nil, same, nil, nil, false},
		{"unknown version", &request.RequestInfo{APIVersion: "v7"}, same, nil, nil, false},
		{"odd subresource", &request.RequestInfo{APIVersion: "v1", Subresource: "a//b"}, same, nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			if test.info != nil {
				ctx = request.WithRequestInfo(ctx, test.info)
			}
			obj, op := controller(test.obj), operation.Create
			call := func(v rest.DeclarativeValidationStrategy) field.ErrorList {
				if test.old == nil {
					return v.ValidateDeclaratively(ctx, obj, nil, test.errs, op, rest.DeclarativeValidationConfig{})
				}
				return v.ValidateDeclaratively(ctx, obj, controller(test.old), test.errs, operation.Update, rest.DeclarativeValidationConfig{})
			}
			before := obj.DeepCopy()
			got, want := call(ours), call(upstream)
			equalErrors := cmp.Comparer(func(a, b *field.Error) bool { return a.Origin == b.Origin && a.Error() == b.Error() })
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), equalErrors); diff != "" {
				t.Errorf("errors (-upstream +ours):\n%s", diff)
			}
			if (len(got) == 0) != test.valid {
				t.Errorf("errors %v, valid is %v", got, test.valid)
			}
			if !equality.Semantic.DeepEqual(before, obj) {
				t.Error("validation changed the object")
			}
		})
	}
}
