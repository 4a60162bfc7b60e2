//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"cmp"
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// capacity is how many addresses an Endpoints has at most.
const capacity = 1000

// repack brings subsets into the one form of all that mean the same: each
// address once for each set of ports it has, ports that have the same addresses
// together, all of it in order. An address that is ready and not ready at once
// isn't ready.
func repack(subsets []corev1.EndpointSubset) []corev1.EndpointSubset {
	p := packer{known: map[addressKey]int{}, ports: map[portKey]map[int]bool{}}
	for i := range subsets {
		keys := []portKey{portless}
		if len(subsets[i].Ports) > 0 {
			keys = keys[:0]
		}
		for _, port := range subsets[i].Ports {
			key := portKey{name: port.Name, port: port.Port, protocol: port.Protocol}
			if port.AppProtocol != nil {
				key.app, key.hasApp = *port.AppProtocol, true
			}
			keys = append(keys, key)
		}
		for _, key := range keys {
			p.add(key, subsets[i].Addresses, true)
			p.add(key, subsets[i].NotReadyAddresses, false)
		}
	}
	return p.pack()
}

// portKey is a port that can be compared.
type portKey struct {
	name     string
	port     int32
	protocol corev1.Protocol
	app      string
	hasApp   bool
}

// portless stands for having no ports.
var portless = portKey{port: -1}

func (k portKey) endpointPort() corev1.EndpointPort {
	port := corev1.EndpointPort{Name: k.name, Port: k.port, Protocol: k.protocol}
	if k.hasApp {
		port.AppProtocol = &k.app
	}
	return port
}

// addressKey is what makes addresses the same. Pods of different names may have
// the same address, where that is their node's.
type addressKey struct {
	ip  string
	uid types.UID
}

type packer struct {
	known     map[addressKey]int // index of addresses
	addresses []corev1.EndpointAddress
	ports     map[portKey]map[int]bool // addresses that have the port, and whether they are ready
}

func (p *packer) add(port portKey, addresses []corev1.EndpointAddress, ready bool) {
	have := p.ports[port]
	if have == nil {
		have = map[int]bool{}
		p.ports[port] = have
	}
	for _, address := range addresses {
		key := addressKey{ip: address.IP}
		if address.TargetRef != nil {
			key.uid = address.TargetRef.UID
		}
		i, ok := p.known[key]
		if !ok {
			i = len(p.addresses)
			p.known[key] = i
			p.addresses = append(p.addresses, address)
		}
		if was, ok := have[i]; !ok || was {
			have[i] = ready
		}
	}
}

func (p *packer) pack() []corev1.EndpointSubset {
	together := map[string]*corev1.EndpointSubset{} // by their addresses
	for port, have := range p.ports {
		indexes := make([]int, 0, len(have))
		for i := range have {
			indexes = append(indexes, i)
		}
		slices.SortFunc(indexes, func(a, b int) int { return compareAddresses(&p.addresses[a], &p.addresses[b]) })
		key := make([]byte, 0, 5*len(indexes))
		for _, i := range indexes {
			key = append(binary.LittleEndian.AppendUint32(key, uint32(i)), flag(have[i]))
		}
		subset := together[string(key)]
		if subset == nil {
			subset = &corev1.EndpointSubset{}
			together[string(key)] = subset
			for _, i := range indexes {
				if have[i] {
					subset.Addresses = append(subset.Addresses, p.addresses[i])
				} else {
					subset.NotReadyAddresses = append(subset.NotReadyAddresses, p.addresses[i])
				}
			}
		}
		if port != portless {
			subset.Ports = append(subset.Ports, port.endpointPort())
		}
	}
	packed := make([]corev1.EndpointSubset, 0, len(together))
	for _, subset := range together {
		slices.SortFunc(subset.Ports, comparePorts)
		packed = append(packed, *subset)
	}
	slices.SortFunc(packed, func(a, b corev1.EndpointSubset) int {
		return cmp.Or(slices.CompareFunc(a.Ports, b.Ports, comparePorts), compareFirst(a, b))
	})
	return packed
}

func flag(ready bool) byte {
	if ready {
		return 1
	}
	return 0
}

func compareAddresses(a, b *corev1.EndpointAddress) int {
	if c := cmp.Compare(a.IP, b.IP); c != 0 {
		return c
	}
	uid := func(address *corev1.EndpointAddress) types.UID {
		if address.TargetRef == nil {
			return ""
		}
		return address.TargetRef.UID
	}
	return cmp.Compare(uid(a), uid(b))
}

func comparePorts(a, b corev1.EndpointPort) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// compareFirst orders subsets of equal ports, which have no address in common.
func compareFirst(a, b corev1.EndpointSubset) int {
	first := func(s corev1.EndpointSubset) *corev1.EndpointAddress {
		for _, addresses := range [][]corev1.EndpointAddress{s.Addresses, s.NotReadyAddresses} {
			if len(addresses) > 0 {
				return &addresses[0]
			}
		}
		return &corev1.EndpointAddress{}
	}
	return compareAddresses(first(a), first(b))
}

// truncate keeps as many addresses as an Endpoints may have, ready ones first,
// of each subset in proportion. It says whether that dropped some.
func truncate(subsets []corev1.EndpointSubset) bool {
	ready, unready := 0, 0
	for _, subset := range subsets {
		ready += len(subset.Addresses)
		unready += len(subset.NotReadyAddresses)
	}
	if ready+unready <= capacity {
		return false
	}
	room, of := capacity-ready, unready
	if ready > capacity {
		room, of = capacity, ready
	}
	left := room
	take := func(addresses []corev1.EndpointAddress) []corev1.EndpointAddress {
		share := min((len(addresses)*room+of-1)/of, left)
		left -= share
		return addresses[:share]
	}
	for i := range subsets {
		if ready > capacity {
			subsets[i].Addresses, subsets[i].NotReadyAddresses = take(subsets[i].Addresses), nil
		} else {
			subsets[i].NotReadyAddresses = take(subsets[i].NotReadyAddresses)
		}
	}
	return true
}
