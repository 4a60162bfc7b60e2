package nodeipam

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
)

// A Range is a range of pods' addresses and how large a part each node gets.
type Range struct {
	Cluster netip.Prefix
	Node    int // bits of a node's prefix
}

// NewRanges checks ranges: one, or one of each family. sizes are the bits of a
// node's prefix: of any family, of IPv4 and of IPv6, 0 for the default, which is
// 24 and 64.
func NewRanges(clusters []netip.Prefix, size, size4, size6 int) ([]Range, error) {
	dual := len(clusters) == 2
	switch {
	case len(clusters) == 0 || len(clusters) > 2 || dual && clusters[0].Addr().Is4() == clusters[1].Addr().Is4():
		return nil, errors.New("--cluster-cidr must be one CIDR, or one of each family")
	case size != 0 && dual:
		return nil, errors.New("usage of --node-cidr-mask-size is not allowed with dual-stack clusters")
	case size != 0 && (size4 != 0 || size6 != 0):
		return nil, errors.New("usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if --node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily specific flags")
	case size4 != 0 && !dual && clusters[0].Addr().Is6():
		return nil, errors.New("usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6 cluster")
	case size6 != 0 && !dual && clusters[0].Addr().Is4():
		return nil, errors.New("usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster")
	}
	ranges := make([]Range, len(clusters))
	for i, cluster := range clusters {
		r := Range{Cluster: cluster.Masked(), Node: 24}
		own := size4
		if cluster.Addr().Is6() {
			r.Node, own = 64, size6
		}
		if size != 0 {
			own = size
		}
		if own != 0 {
			r.Node = own
		}
		switch spare := r.Node - r.Cluster.Bits(); {
		case spare < 0 || r.Node > r.Cluster.Addr().BitLen():
			return nil, fmt.Errorf("nodes can't get a /%d of --cluster-cidr %s: set --node-cidr-mask-size*", r.Node, r.Cluster)
		case spare > 16 && cluster.Addr().Is6(), spare > 24:
			//lint:ignore ST1005 upstream's words
			return nil, fmt.Errorf("New CIDR set failed; the node CIDR size is too big: %s has more than 2^16 (IPv6) or 2^24 (IPv4) parts of /%d", r.Cluster, r.Node)
		}
		ranges[i] = r
	}
	return ranges, nil
}

// parts are a range's parts, which are taken or free.
type parts struct {
	Range
	taken []uint64 // a bit for each part
	count int      // of them
	used  int
	next  int // where to look for a free one
}

func newParts(r Range) *parts {
	count := 1 << (r.Node - r.Cluster.Bits())
	return &parts{Range: r, count: count, taken: make([]uint64, (count+63)/64)}
}

// allocate takes the next free part after the last one, so that a node's part
// isn't another's right after it went.
func (p *parts) allocate() (netip.Prefix, bool) {
	for i := range p.count {
		if at := (p.next + i) % p.count; !p.has(at) {
			p.set(at, true)
			p.next = (at + 1) % p.count
			return p.prefix(at), true
		}
	}
	return netip.Prefix{}, false
}

// occupy takes what overlaps a prefix; it says whether anything does.
func (p *parts) occupy(prefix netip.Prefix) bool { return p.each(prefix, true) }

// release gives back what overlaps a prefix.
func (p *parts) release(prefix netip.Prefix) { p.each(prefix, false) }

func (p *parts) each(prefix netip.Prefix, taken bool) bool {
	if !p.Cluster.Overlaps(prefix) {
		return false
	}
	first, last := 0, p.count-1 // a prefix around all of it
	if prefix.Bits() > p.Cluster.Bits() {
		first = p.index(prefix.Masked().Addr())
		last = first + 1<<max(0, p.Node-prefix.Bits()) - 1
	}
	for at := first; at <= last; at++ {
		p.set(at, taken)
	}
	return true
}

func (p *parts) index(address netip.Addr) int {
	offset := new(big.Int).Sub(number(address), number(p.Cluster.Addr()))
	return int(offset.Rsh(offset, uint(address.BitLen()-p.Node)).Int64())
}

func (p *parts) prefix(at int) netip.Prefix {
	first := number(p.Cluster.Addr())
	first.Add(first, new(big.Int).Lsh(big.NewInt(int64(at)), uint(p.Cluster.Addr().BitLen()-p.Node)))
	address, _ := netip.AddrFromSlice(first.FillBytes(make([]byte, p.Cluster.Addr().BitLen()/8)))
	return netip.PrefixFrom(address, p.Node)
}

func number(address netip.Addr) *big.Int { return new(big.Int).SetBytes(address.AsSlice()) }

func (p *parts) has(at int) bool { return p.taken[at/64]>>(at%64)&1 == 1 }

func (p *parts) set(at int, taken bool) {
	if p.has(at) == taken {
		return
	}
	p.taken[at/64] ^= 1 << (at % 64)
	if taken {
		p.used++
	} else {
		p.used--
	}
}
