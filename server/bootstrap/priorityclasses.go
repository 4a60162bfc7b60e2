package bootstrap

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
)

// ensurePriorityClasses creates the priority classes that system components
// run with.
func (b *Bootstrap) ensurePriorityClasses(ctx context.Context) error {
	classes := b.client.SchedulingV1().PriorityClasses()
	for _, class := range schedulingv1.SystemPriorityClasses() {
		if err := ensure(
			func() error { return second(classes.Get(ctx, class.Name, metav1.GetOptions{})) },
			func() error { return second(classes.Create(ctx, class, metav1.CreateOptions{})) },
		); err != nil {
			return err
		}
	}
	return nil
}
