package loadbalancer

import (
	"net/netip"

	"k8s.io/client-go/tools/cache"
)

// holders are the Services that addresses are given to.
type holders struct {
	of map[netip.Addr]cache.ObjectName
	by map[cache.ObjectName][]netip.Addr
}

func newHolders() *holders {
	return &holders{of: map[netip.Addr]cache.ObjectName{}, by: map[cache.ObjectName][]netip.Addr{}}
}

// takenFor tells which addresses are others' than the Service's.
func (h *holders) takenFor(service cache.ObjectName) func(netip.Addr) bool {
	return func(address netip.Addr) bool {
		holder, ok := h.of[address]
		return ok && holder != service
	}
}

// hold gives a Service these addresses, but for those that are others', instead
// of what it held. It says whether some became free.
func (h *holders) hold(service cache.ObjectName, addresses []netip.Addr) (freed bool) {
	before := h.by[service]
	for _, address := range before {
		delete(h.of, address)
	}
	delete(h.by, service)
	var held []netip.Addr
	for _, address := range addresses {
		if _, taken := h.of[address]; !taken {
			h.of[address] = service
			held = append(held, address)
		}
	}
	if len(held) > 0 {
		h.by[service] = held
	}
	for _, address := range before {
		if _, taken := h.of[address]; !taken {
			return true
		}
	}
	return false
}
