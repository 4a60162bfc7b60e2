package write

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apiserver/pkg/admission"
)

// A recorder is admission that remembers all that it is told.
type recorder struct{ told []string }

func (*recorder) Handles(admission.Operation) bool { return true }

func (r *recorder) Admit(_ context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return r.record("admit", a, o)
}

func (r *recorder) Validate(_ context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return r.record("validate", a, o)
}

func (r *recorder) record(phase string, a admission.Attributes, o admission.ObjectInterfaces) error {
	objects, err := json.Marshal(map[string]any{"object": a.GetObject(), "old": a.GetOldObject(), "options": a.GetOperationOptions()})
	if err != nil {
		return err
	}
	told := fmt.Sprint(phase, " ", a.GetOperation(), " ", a.GetKind(), " ", a.GetResource(), " ", a.GetSubresource(), " ", a.GetNamespace(), " ", a.GetName(),
		" dry run ", a.IsDryRun(), " by ", a.GetUserInfo().GetName(), a.GetUserInfo().GetGroups(), " ", string(objects), " first ", a.GetReinvocationContext().IsReinvoke(),
		" creates ", o.GetObjectCreater() != nil)
	r.told = append(r.told, scrub(told))
	return nil
}

// take returns what was told since the last time.
func (r *recorder) take() []string {
	told := r.told
	r.told = nil
	return told
}
