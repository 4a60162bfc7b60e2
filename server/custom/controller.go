package custom

import (
	"context"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
)

// A controller writes the conditions of definitions, and ends those that are
// being deleted. Every server has one, as in upstream; of two that write the
// same at the same time one gets a conflict and finds nothing left to do.
type controller struct {
	resources *Resources
	client    apiextensionsclient.CustomResourceDefinitionInterface
	judging   queue // one worker: names are given to one definition after the other
	ending    queue
}

type queue = workqueue.TypedRateLimitingInterface[string]

// enders is how many definitions are ended at a time: each waits for its instances.
const enders = 5

func newController(r *Resources, client apiextensionsclient.CustomResourceDefinitionInterface) *controller {
	limiter := workqueue.DefaultTypedControllerRateLimiter[string]
	return &controller{
		resources: r, client: client,
		judging: workqueue.NewTypedRateLimitingQueue(limiter()),
		ending:  workqueue.NewTypedRateLimitingQueue(limiter()),
	}
}

// start runs the workers until ctx ends.
func (c *controller) start(ctx context.Context, loops *sync.WaitGroup) {
	loops.Go(func() {
		<-ctx.Done()
		c.judging.ShutDown()
		c.ending.ShutDown()
	})
	loops.Go(func() { c.work(ctx, c.judging, c.judge) })
	for range enders {
		loops.Go(func() { c.work(ctx, c.ending, c.end) })
	}
}

func (c *controller) work(ctx context.Context, q queue, do func(ctx context.Context, name string) error) {
	for {
		name, closed := q.Get()
		if closed {
			return
		}
		err := do(ctx, name)
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err): // it comes again if there is more to do
			q.Forget(name)
		case ctx.Err() == nil:
			c.resources.log.Warn("a CustomResourceDefinition could not be brought up to date, trying again", "definition", name, "err", err)
			q.AddRateLimited(name)
		}
		q.Done(name)
	}
}

// see is told of every version of a definition.
func (c *controller) see(d *definition) {
	c.judging.Add(d.Name)
	if !d.DeletionTimestamp.IsZero() && apihelpers.CRDHasFinalizer(d.CustomResourceDefinition, apiextensionsv1.CustomResourceCleanupFinalizer) {
		c.ending.Add(d.Name)
	}
}

// forget gives the names of a definition that is gone to those that wait for them.
func (c *controller) forget(gone *definition) {
	for _, d := range c.resources.known {
		if d.Spec.Group == gone.Spec.Group && !d.is(apiextensionsv1.NamesAccepted) {
			c.judging.Add(d.Name)
		}
	}
}

func (c *controller) judge(ctx context.Context, name string) error {
	d, o := c.resources.latest(name)
	if d == nil {
		return nil
	}
	others := c.resources.others(d.Spec.Group, name)
	judged := d.DeepCopy()
	if !d.needsSchemas() && !judge(judged, takenBy(others)) {
		return nil
	}
	crd, err := decodeDefinition(c.resources.definitions, o)
	if err != nil {
		return err
	}
	if !d.needsSchemas() {
		crd.Status = judged.Status
	} else if !judge(crd, takenBy(others)) {
		return nil
	}
	if _, err := c.client.UpdateStatus(ctx, crd, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if before, after := d.Status.AcceptedNames, crd.Status.AcceptedNames; before.Plural != "" && !equality.Semantic.DeepEqual(before, after) {
		for _, other := range others {
			if !other.is(apiextensionsv1.NamesAccepted) {
				c.judging.Add(other.Name) // a name may be free now
			}
		}
	}
	c.resources.latest(name) // others are compared with it
	return nil
}
