package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pollPeriod is how often it is looked whether devices are ready. What is looked
// at is in memory.
const pollPeriod = 100 * time.Millisecond

var (
	errTimeout = errors.New("device binding timeout")
	errFailed  = errors.New("device binding failed")
)

// ready tells whether the devices that a claim has are what their binding
// conditions ask for. The error says that they won't be.
func ready(claim *resourceapi.ResourceClaim) (bool, error) {
	if claim.Status.Allocation == nil {
		return false, nil
	}
	for i := range claim.Status.Allocation.Devices.Results {
		result := &claim.Status.Allocation.Devices.Results[i]
		if len(result.BindingConditions) == 0 {
			continue
		}
		status := statusOf(claim, result)
		if status == nil {
			return false, nil
		}
		for _, condition := range result.BindingFailureConditions {
			if c := meta.FindStatusCondition(status.Conditions, condition); c != nil && c.Status == metav1.ConditionTrue {
				return false, fmt.Errorf("%w: claim=%s, reason=%s, message=%q", errFailed, claim.Name, c.Reason, c.Message)
			}
		}
		for _, condition := range result.BindingConditions {
			if !meta.IsStatusConditionTrue(status.Conditions, condition) {
				return false, nil
			}
		}
	}
	return true, nil
}

func statusOf(claim *resourceapi.ResourceClaim, result *resourceapi.DeviceRequestAllocationResult) *resourceapi.AllocatedDeviceStatus {
	for i := range claim.Status.Devices {
		if d := &claim.Status.Devices[i]; d.Device == result.Device && d.Driver == result.Driver && d.Pool == result.Pool {
			return d
		}
	}
	return nil
}

// conditional tells whether a claim has devices that have to be made ready.
func conditional(claim *resourceapi.ResourceClaim) bool {
	if claim.Status.Allocation == nil {
		return false
	}
	for i := range claim.Status.Allocation.Devices.Results {
		if len(claim.Status.Allocation.Devices.Results[i].BindingConditions) > 0 {
			return true
		}
	}
	return false
}

// overdue tells whether a claim's devices should have been ready by now.
func (p *plugin) overdue(claim *resourceapi.ResourceClaim) bool {
	return conditional(claim) && claim.Status.Allocation.AllocationTimestamp != nil &&
		claim.Status.Allocation.AllocationTimestamp.Add(p.args.BindingTimeout).Before(p.Clock.Now())
}

// await waits until all devices are ready.
func (r *reservation) await(ctx context.Context) error {
	needed := false
	for _, claim := range r.claims {
		needed = needed || conditional(claim)
	}
	if !needed {
		return nil
	}
	r.Waits(r.pod.Obj, r.node)
	start := r.Clock.Now()
	err := r.awaitAll(ctx, start.Add(r.args.BindingTimeout))
	status := "success"
	switch {
	case errors.Is(err, errTimeout):
		status = "timeout"
	case errors.Is(err, errFailed):
		status = "failure"
	case err != nil:
		status = "error"
	}
	for _, claim := range r.claims {
		r.Metrics.waited(r.profile, claim, status, r.Clock.Since(start))
	}
	return err
}

func (r *reservation) awaitAll(ctx context.Context, until time.Time) error {
	for {
		done, err := r.allReady()
		if done || err != nil {
			return err
		}
		if r.Clock.Now().After(until) {
			return fmt.Errorf("%w: %w", errTimeout, context.DeadlineExceeded)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.Clock.After(pollPeriod):
		}
	}
}

func (r *reservation) allReady() (bool, error) {
	for i, claim := range r.claims {
		if i == r.own && r.grant.special == nil {
			continue
		}
		claim, err := r.claim(claim.Namespace, claim.Name)
		if err != nil {
			return false, err
		}
		r.claims[i] = claim
		done, err := ready(claim)
		if err != nil {
			return false, err
		}
		if !done {
			if r.overdue(claim) {
				return false, fmt.Errorf("%w: claim=%s", errTimeout, claim.Name)
			}
			return false, nil
		}
	}
	return true, nil
}
