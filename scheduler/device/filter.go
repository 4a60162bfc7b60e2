package device

import (
	"context"
	"errors"
	"fmt"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// Only implements [placement.Prepared].
func (w *wants) Only() map[string]bool { return nil }

// Filter tells whether the devices that claims have can be used on a node, and
// whether there are devices for those that have none.
func (w *wants) Filter(node *state.Node) *placement.Status {
	g := &grant{}
	if w.special() != nil {
		needed, status := w.extendedOn(node, g)
		if status != nil {
			return status
		}
		if !needed && w.own == 0 {
			return nil
		}
	}
	var unavailable []int
	for i, claim := range w.claims {
		if !w.usable(i, claim, node) {
			unavailable = append(unavailable, i)
		}
	}
	if w.allocator != nil {
		if status := w.allocate(node, g); status != nil {
			return status
		}
	}
	for _, i := range unavailable {
		w.unavailable[i] = true
	}
	if len(unavailable) > 0 {
		return refuse("resourceclaim not available on the node")
	}
	if w.allocator != nil {
		w.byNode[node.Name()] = g
	}
	return nil
}

// usable tells whether the devices that a claim has can be used on a node, and
// are ready or may still become so.
func (w *wants) usable(i int, claim *resourceapi.ResourceClaim, node *state.Node) bool {
	if w.selectors[i] != nil && !w.selectors[i].Match(node.Obj) {
		return false
	}
	if claim.Status.Allocation == nil {
		return true
	}
	ready, err := ready(claim)
	return err == nil && (ready || !w.overdue(claim))
}

// allocate looks for devices on a node for the claims that have none.
func (w *wants) allocate(node *state.Node, g *grant) *placement.Status {
	var claims []*resourceapi.ResourceClaim
	for _, i := range w.lacking(g) {
		if i == w.own {
			claims = append(claims, g.special)
		} else {
			claims = append(claims, w.claims[i])
		}
	}
	ctx := context.Background()
	if w.args.FilterTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.args.FilterTimeout)
		defer cancel()
	}
	allocations, err := w.allocator.Allocate(ctx, node.Obj, claims)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &placement.Status{Err: fmt.Errorf("node %s: timed out trying to allocate devices", node.Name())}
	case errors.Is(err, structured.ErrFailedAllocationOnNode):
		return refuse(err.Error())
	case err != nil:
		return &placement.Status{Err: err}
	case len(allocations) != len(claims):
		return refuse("cannot allocate all claims")
	}
	g.allocations = allocations
	return nil
}

// lacking are the claims that need devices on a node.
func (w *wants) lacking(g *grant) []int {
	var lacking []int
	for i, claim := range w.claims {
		if claim.Status.Allocation == nil && (i < w.own || g.special != nil) {
			lacking = append(lacking, i)
		}
	}
	return lacking
}

// Score prefers nodes where requests get what they would rather have.
func (w *wants) Score(nodes []*state.Node) ([]int64, bool) {
	scores := make([]int64, len(nodes))
	most := int64(0)
	for i, node := range nodes {
		if g := w.byNode[node.Name()]; g != nil {
			scores[i] = w.preference(g)
			most = max(most, scores[i])
		}
	}
	if most > 0 {
		for i := range scores {
			scores[i] = maxScore * scores[i] / most
		}
	}
	return scores, true
}

const maxScore = 100

func (w *wants) preference(g *grant) int64 {
	var score int64
	next := 0
	for _, claim := range w.claims {
		allocation := claim.Status.Allocation
		if allocation == nil {
			if next == len(g.allocations) {
				return score
			}
			allocation = &g.allocations[next]
			next++
		}
		granted := sets.New[string]()
		for i := range allocation.Devices.Results {
			if request := allocation.Devices.Results[i].Request; strings.Contains(request, "/") {
				granted.Insert(request)
			}
		}
		for i := range claim.Spec.Devices.Requests {
			request := &claim.Spec.Devices.Requests[i]
			for j := range request.FirstAvailable {
				if granted.Has(resourceclaim.CreateSubRequestRef(request.Name, request.FirstAvailable[j].Name)) {
					score += int64(resourceapi.FirstAvailableDeviceRequestMaxSize - j)
				}
			}
		}
	}
	return score
}
