package device

import (
	"maps"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

// A ledger counts which devices claims have, so that a decision needs not go
// through all claims.
type ledger struct {
	holds      map[types.UID]*resourceapi.AllocationResult // by claim
	whole      map[structured.DeviceID]int                 // devices that claims have to themselves
	shares     map[structured.SharedDeviceID]int
	capacities structured.ConsumedCapacityCollection // of devices that are shared
	known      *structured.AllocatedState            // all that as the allocator wants it; nil: to be made
}

func newLedger() ledger {
	return ledger{
		holds: map[types.UID]*resourceapi.AllocationResult{}, whole: map[structured.DeviceID]int{},
		shares: map[structured.SharedDeviceID]int{}, capacities: structured.NewConsumedCapacityCollection(),
	}
}

// set says what a claim has; nil: nothing.
func (l *ledger) set(claim types.UID, allocation *resourceapi.AllocationResult) {
	held := l.holds[claim]
	if held == allocation {
		return
	}
	l.known = nil
	if held != nil {
		l.count(held, -1)
		delete(l.holds, claim)
	}
	if allocation != nil {
		l.count(allocation, 1)
		l.holds[claim] = allocation
	}
}

// count adds or takes off. Access for administrators takes nothing from others.
func (l *ledger) count(allocation *resourceapi.AllocationResult, sign int) {
	for i := range allocation.Devices.Results {
		result := &allocation.Devices.Results[i]
		if ptr.Deref(result.AdminAccess, false) {
			continue
		}
		id := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
		if result.ShareID == nil {
			add(l.whole, id, sign)
			continue
		}
		add(l.shares, structured.MakeSharedDeviceID(id, result.ShareID), sign)
		if result.ConsumedCapacity == nil {
			continue
		}
		consumed := structured.NewDeviceConsumedCapacity(id, result.ConsumedCapacity)
		if sign > 0 {
			l.capacities.Insert(consumed)
		} else {
			l.capacities.Remove(consumed)
		}
	}
}

func add[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// state is for reading, and stays as it is.
func (l *ledger) state() *structured.AllocatedState {
	if l.known == nil {
		l.known = &structured.AllocatedState{
			AllocatedDevices: sets.KeySet(l.whole), AllocatedSharedDeviceIDs: sets.KeySet(l.shares), AggregatedCapacity: maps.Clone(l.capacities),
		}
		for id, capacity := range l.known.AggregatedCapacity {
			l.known.AggregatedCapacity[id] = capacity.Clone()
		}
	}
	return l.known
}
