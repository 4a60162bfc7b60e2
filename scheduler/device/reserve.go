package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/scheduler/answer"
	"github.com/howdah/howdah/scheduler/placement"
)

// Pauses before a claim is looked at again after a write of which it is not
// certain what became.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 5 * time.Second
)

var errNotLeading = errors.New("this scheduler does not lead any more")

// A reservation is what a pod gets for its claims on a node.
type reservation struct {
	*wants
	node     string
	grant    *grant
	flights  map[int]*resourceapi.ResourceClaim // claims that had no devices, with what is on its way to them
	bindings bool                               // Bind was called
}

// Reserve takes devices for the claims that have none. Those that have are
// reserved for the pod when it is bound.
func (w *wants) Reserve(node string) (placement.Reservation, *placement.Status) {
	g := w.byNode[node]
	if g == nil {
		if w.own == 0 {
			return nil, nil // the node itself has the extended resources
		}
		g = &grant{}
	}
	r := &reservation{wants: w, node: node, grant: g, flights: map[int]*resourceapi.ResourceClaim{}}
	lacking := w.lacking(g)
	if len(lacking) != len(g.allocations) {
		return nil, &placement.Status{Err: fmt.Errorf("%d claims need devices on node %s, and it has them for %d", len(lacking), node, len(g.allocations))}
	}
	for n, i := range lacking {
		claim := w.claims[i]
		if i == w.own {
			claim = g.special
		}
		claim = claim.DeepCopy()
		claim.Status.Allocation = &g.allocations[n]
		if !w.depart(claim) {
			r.Undo(context.Background())
			return nil, &placement.Status{Err: fmt.Errorf("claim %s got allocated elsewhere in the meantime", keyOf(claim))}
		}
		r.flights[i] = claim
	}
	return r, nil
}

// Undo takes back what is on its way, and reservations that were written.
func (r *reservation) Undo(ctx context.Context) {
	for _, flight := range r.flights {
		r.land(flight)
	}
	if !r.bindings {
		return
	}
	for i, claim := range r.claims {
		switch {
		case i == r.own:
			if claim.Name != unwritten {
				r.discard(ctx, claim)
			}
		case claim.Status.Allocation != nil && reserved(claim, r.pod.Obj):
			patch := fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"reservedFor":[{"$patch":"delete","uid":%q}]}}`, claim.UID, r.pod.UID())
			// Should this fail, the next attempt finds the reservation.
			_, _ = r.Client.ResourceV1().ResourceClaims(claim.Namespace).Patch(ctx, claim.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		}
	}
}

// Bind writes to the claims what they have and that they are reserved for the
// pod, and waits until their devices are ready.
func (r *reservation) Bind(ctx context.Context) error {
	r.bindings = true
	for i, claim := range r.claims {
		if i == r.own && r.grant.special == nil || reserved(claim, r.pod.Obj) {
			continue
		}
		if err := r.bindClaim(ctx, i); err != nil {
			return err
		}
	}
	return r.await(ctx)
}

func (r *reservation) bindClaim(ctx context.Context, i int) error {
	claim := r.claims[i]
	special := i == r.own
	if special {
		made, err := r.create(ctx)
		if err != nil {
			return err
		}
		r.claims[i], claim = made, made
	}
	var allocation *resourceapi.AllocationResult
	if flight := r.flights[i]; flight != nil {
		allocation = flight.Status.Allocation
	}
	claim, err := r.write(ctx, claim, allocation)
	if err != nil {
		return err
	}
	r.claims[i] = claim
	r.written(r.flights[i], claim)
	if special {
		return r.tellPod(ctx, claim)
	}
	return nil
}

// write gives a claim devices, if it is to get some, and reserves it for the pod.
// It goes on until it is certain what became of that.
func (r *reservation) write(ctx context.Context, claim *resourceapi.ResourceClaim, allocation *resourceapi.AllocationResult) (*resourceapi.ResourceClaim, error) {
	claims := r.Client.ResourceV1().ResourceClaims(claim.Namespace)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if !r.Leads() {
			return nil, errNotLeading
		}
		after, err := r.writeOnce(ctx, claim, allocation)
		if err == nil || answer.Refused(err) && !apierrors.IsConflict(err) || errors.Is(err, errElsewhere) {
			return after, err
		}
		for {
			select {
			case <-ctx.Done():
				return nil, err
			case <-r.Clock.After(pause):
			}
			live, err := claims.Get(ctx, claim.Name, metav1.GetOptions{})
			if err == nil && live.UID == claim.UID {
				claim = live
				break
			}
			if err == nil || apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("claim %s got deleted in the meantime", keyOf(claim))
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// errElsewhere wraps what others did to a claim, so that nothing is to be
// written to it.
var errElsewhere = errors.New("the claim was changed by someone else")

func (r *reservation) writeOnce(ctx context.Context, claim *resourceapi.ResourceClaim, allocation *resourceapi.AllocationResult) (*resourceapi.ResourceClaim, error) {
	claims := r.Client.ResourceV1().ResourceClaims(claim.Namespace)
	claim = claim.DeepCopy()
	has := claim.Status.Allocation
	switch {
	case claim.DeletionTimestamp != nil:
		return nil, fmt.Errorf("%w: claim %s got deleted in the meantime", errElsewhere, keyOf(claim))
	case has != nil && reserved(claim, r.pod.Obj) && (allocation == nil || same(has, allocation)):
		return claim, nil // by the write whose answer was lost
	case has != nil && allocation != nil:
		return nil, fmt.Errorf("%w: claim %s got allocated elsewhere in the meantime", errElsewhere, keyOf(claim))
	case has == nil && allocation == nil:
		return nil, fmt.Errorf("%w: claim %s got deallocated elsewhere in the meantime", errElsewhere, keyOf(claim))
	}
	if allocation != nil {
		if !slices.Contains(claim.Finalizers, resourceapi.Finalizer) {
			claim.Finalizers = append(claim.Finalizers, resourceapi.Finalizer)
			updated, err := claims.Update(ctx, claim, metav1.UpdateOptions{})
			if err != nil {
				return nil, fmt.Errorf("add finalizer to claim %s: %w", keyOf(claim), err)
			}
			claim = updated
		}
		claim.Status.Allocation = allocation.DeepCopy()
	}
	if claim.Status.Allocation.AllocationTimestamp == nil {
		claim.Status.Allocation.AllocationTimestamp = &metav1.Time{Time: r.Clock.Now()}
	}
	claim.Status.ReservedFor = append(claim.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{
		APIGroup: corev1.GroupName, Resource: "pods", Name: r.pod.Obj.Name, UID: r.pod.UID(),
	})
	updated, err := claims.UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	if err != nil {
		what := "reservation"
		if allocation != nil {
			what = "allocation and reservation"
		}
		return nil, fmt.Errorf("add %s to claim %s: %w", what, keyOf(claim), err)
	}
	return updated, nil
}

// same tells whether two allocations are the same but for their time.
func same(a, b *resourceapi.AllocationResult) bool {
	return equality.Semantic.DeepEqual(a.Devices, b.Devices) && equality.Semantic.DeepEqual(a.NodeSelector, b.NodeSelector)
}

// create writes the claim for extended resources, without devices still.
func (r *reservation) create(ctx context.Context) (*resourceapi.ResourceClaim, error) {
	claim := r.grant.special.DeepCopy()
	claim.Name, claim.UID = "", ""
	made, err := r.Client.ResourceV1().ResourceClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	r.Metrics.created(err == nil)
	if err != nil {
		return nil, fmt.Errorf("create claim for extended resources %s/%s: %w", claim.Namespace, claim.GenerateName, err)
	}
	return made, nil
}

// tellPod writes to the pod which requests of its claim stand for its extended
// resources.
func (r *reservation) tellPod(ctx context.Context, claim *resourceapi.ResourceClaim) error {
	pod := r.pod.Obj
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status": map[string]any{"extendedResourceClaimStatus": corev1.PodExtendedResourceClaimStatus{
			RequestMappings: r.grant.mappings, ResourceClaimName: claim.Name,
		}},
	})
	if err != nil {
		return err
	}
	if _, err := r.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("update pod %s/%s ExtendedResourceClaimStatus: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// CanUnblock implements [placement.Unblocker].
func (w *wants) CanUnblock() bool {
	special := w.special()
	return len(w.unavailable) > 0 || special != nil && special.Name != unwritten
}

// Unblock takes the devices from a claim that nobody else has reserved and that
// some node could not use, or deletes what an earlier attempt left.
func (w *wants) Unblock(ctx context.Context) (string, error) {
	for i := range w.unavailable {
		claim := w.claims[i]
		if i == w.own || len(claim.Status.ReservedFor) > 1 || len(claim.Status.ReservedFor) == 1 && claim.Status.ReservedFor[0].UID != w.pod.UID() {
			continue
		}
		claim = claim.DeepCopy()
		claim.Status = resourceapi.ResourceClaimStatus{}
		if _, err := w.Client.ResourceV1().ResourceClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{}); err != nil {
			return "", err
		}
		return "deallocation of ResourceClaim completed", nil
	}
	if special := w.special(); special != nil && special.Name != unwritten {
		if err := w.discard(ctx, special); err != nil {
			return "", err
		}
		return "deletion of ResourceClaim completed", nil
	}
	return "", nil
}

// discard deletes a claim for extended resources that is of no use.
func (d *Devices) discard(ctx context.Context, claim *resourceapi.ResourceClaim) error {
	claims := d.Client.ResourceV1().ResourceClaims(claim.Namespace)
	for slices.Contains(claim.Finalizers, resourceapi.Finalizer) {
		changed := claim.DeepCopy()
		changed.Finalizers = slices.DeleteFunc(changed.Finalizers, func(f string) bool { return f == resourceapi.Finalizer })
		_, err := claims.Update(ctx, changed, metav1.UpdateOptions{})
		if err == nil {
			break
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("update resourceclaim %s: %w", keyOf(claim), err)
		}
		if claim, err = claims.Get(ctx, claim.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("get resourceclaim: %w", err)
		}
	}
	err := claims.Delete(ctx, claim.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(claim.UID))})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}
