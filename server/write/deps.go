package write

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Deps are what the handlers of every row share.
type Deps struct {
	// Admission sees every change; nil: nothing is admitted or refused beyond
	// what the resources themselves demand.
	Admission admission.Interface
	// Authorizer is asked again when an update or an apply turns out to create
	// the object; nil: whoever may update may also create.
	Authorizer authorizer.UnconditionalAuthorizer
	// Equivalents tells admission which other resources hold the same objects;
	// nil: none do.
	Equivalents runtime.EquivalentResourceMapper
	// MaxBodyBytes bounds a request's body; default 3 MiB.
	MaxBodyBytes int64
	// Timeout bounds a change; default 34 s, which is also the longest time
	// that ?timeout= can ask for.
	Timeout time.Duration
}

func (d Deps) withDefaults() Deps {
	if d.MaxBodyBytes == 0 {
		d.MaxBodyBytes = 3 << 20
	}
	if d.Timeout == 0 {
		d.Timeout = 34 * time.Second
	}
	if d.Equivalents == nil {
		d.Equivalents = runtime.NewEquivalentResourceRegistry()
	}
	return d
}
