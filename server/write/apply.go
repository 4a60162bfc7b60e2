package write

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// serverSideApply merges a manager's configuration into the object, or makes
// the object from it.
func (p *patch) serverSideApply(ctx context.Context, current runtime.Object, exists bool, options *metav1.PatchOptions) (runtime.Object, error) {
	if p.FieldManager == nil {
		return nil, apierrors.NewInternalError(errors.New("this resource tracks no field managers, use update or another patch type"))
	}
	if !exists {
		var err error
		if current, err = p.Creater.New(p.Kind); err != nil {
			return nil, fmt.Errorf("failed to create new object: %w", err)
		}
	}
	applied := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal(p.body, &applied.Object); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	force := options.Force != nil && *options.Force
	obj, err := p.FieldManager.Apply(current, applied, options.FieldManager, force)
	if err != nil {
		return nil, err
	}
	if !p.validation.looks() {
		return obj, nil
	}
	if err := yaml.UnmarshalStrict(p.body, &map[string]any{}); err != nil {
		if p.validation == metav1.FieldValidationStrict {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", err))
		}
		warnOfFields(ctx, []error{err})
	}
	return obj, nil
}

func (p *patch) wellFormedYAML() error {
	if _, err := yaml.ToJSON(p.body); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("error encoding patch: %v", err))
	}
	return nil
}
