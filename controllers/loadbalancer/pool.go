package loadbalancer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A Pool is the addresses that Services get, in order and without overlaps.
type Pool []Range

// A Range is all addresses from the first to the last.
type Range struct{ First, Last netip.Addr }

// ParsePool reads CIDRs ("192.0.2.0/28", all addresses of it), ranges
// ("192.0.2.100-192.0.2.120") and single addresses, of either family.
func ParsePool(words []string) (Pool, error) {
	var pool Pool
	for _, word := range words {
		r, err := parseRange(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("%q is not a CIDR such as 192.0.2.0/28, a range such as 192.0.2.100-192.0.2.120, or an address: %w", word, err)
		}
		pool = append(pool, r)
	}
	slices.SortFunc(pool, func(a, b Range) int { return a.First.Compare(b.First) })
	for i := 1; i < len(pool); i++ {
		if before := pool[i-1]; before.Last.Compare(pool[i].First) >= 0 {
			return nil, fmt.Errorf("%s-%s and %s-%s overlap", before.First, before.Last, pool[i].First, pool[i].Last)
		}
	}
	return pool, nil
}

func parseRange(word string) (Range, error) {
	if prefix, err := netip.ParsePrefix(word); err == nil {
		prefix = prefix.Masked()
		return checked(prefix.Addr(), last(prefix))
	}
	from, to, isRange := strings.Cut(word, "-")
	first, err := netip.ParseAddr(from)
	if err != nil || !isRange {
		return Range{first, first}, err
	}
	last, err := netip.ParseAddr(to)
	if err != nil {
		return Range{}, err
	}
	return checked(first, last)
}

func checked(first, last netip.Addr) (Range, error) {
	switch {
	case first.Is4In6() || last.Is4In6() || first.Zone() != "" || last.Zone() != "":
		return Range{}, errors.New("an IPv4 address in IPv6 form, or one with a zone, is not accepted")
	case first.Is4() != last.Is4():
		return Range{}, errors.New("its ends are of different families")
	case last.Less(first):
		return Range{}, errors.New("it ends before it begins")
	}
	return Range{first, last}, nil
}

// last is the last address of a prefix.
func last(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// Contains is whether the pool has an address.
func (p Pool) Contains(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(r Range) bool { return r.First.Compare(address) <= 0 && address.Compare(r.Last) <= 0 })
}

// free finds the first address of a family that isn't taken.
func (p Pool) free(family corev1.IPFamily, taken func(netip.Addr) bool) (netip.Addr, bool) {
	for _, r := range p {
		if familyOf(r.First) != family {
			continue
		}
		for address := r.First; address.IsValid() && address.Compare(r.Last) <= 0; address = address.Next() {
			if !taken(address) {
				return address, true
			}
		}
	}
	return netip.Addr{}, false
}

func familyOf(address netip.Addr) corev1.IPFamily {
	if address.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// choose decides which addresses a Service has, one for each of its families: a
// fitting one of what it has, what it asks for, or a free one. A Service that
// only prefers two families is content with one.
func (p Pool) choose(service *corev1.Service, has []netip.Addr, taken func(netip.Addr) bool) ([]netip.Addr, error) {
	var asked netip.Addr
	if text := service.Spec.LoadBalancerIP; text != "" {
		var err error
		if asked, err = netip.ParseAddr(text); err != nil || !p.Contains(asked) {
			return nil, fmt.Errorf("spec.loadBalancerIP %s is not in --service-load-balancer-pool", text)
		}
	}
	families := service.Spec.IPFamilies
	if len(families) == 0 {
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	both := service.Spec.IPFamilyPolicy != nil && *service.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack
	var chosen []netip.Addr
	var missing error
	for _, family := range families {
		address, err := p.one(family, asked, has, taken)
		if err != nil {
			missing = err
			continue
		}
		chosen = append(chosen, address)
	}
	if len(chosen) == 0 || both && len(chosen) < len(families) {
		return nil, missing
	}
	return chosen, nil
}

func (p Pool) one(family corev1.IPFamily, asked netip.Addr, has []netip.Addr, taken func(netip.Addr) bool) (netip.Addr, error) {
	if asked.IsValid() && familyOf(asked) == family {
		if taken(asked) {
			return netip.Addr{}, fmt.Errorf("spec.loadBalancerIP %s is another Service's", asked)
		}
		return asked, nil
	}
	for _, address := range has {
		if familyOf(address) == family && !taken(address) {
			return address, nil
		}
	}
	address, ok := p.free(family, taken)
	if !ok {
		return netip.Addr{}, fmt.Errorf("--service-load-balancer-pool has no %s address left", family)
	}
	return address, nil
}
