package nodeipam

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestNewRanges(t *testing.T) {
	for _, test := range []struct {
		clusters           string
		size, size4, size6 int
		want               string
	}{
		{"10.64.0.0/16", 0, 0, 0, "[{10.64.0.0/16 24}]"},
		{"10.64.3.0/16", 26, 0, 0, "[{10.64.0.0/16 26}]"},
		{"fd00::/48", 0, 0, 0, "[{fd00::/48 64}]"},
		{"10.64.0.0/16,fd00::/56", 0, 25, 0, "[{10.64.0.0/16 25} {fd00::/56 64}]"},
		{"10.64.0.0/16,fd00::/56", 24, 0, 0, "not allowed with dual-stack"},
		{"10.64.0.0/16", 24, 24, 0, "is not allowed if --node-cidr-mask-size is set"},
		{"10.64.0.0/16", 0, 0, 64, "not allowed for a single-stack IPv4"},
		{"fd00::/48", 0, 24, 0, "not allowed for a single-stack IPv6"},
		{"fd00::/32", 0, 0, 0, "too big"},
		{"10.64.0.0/25", 0, 0, 0, "can't get a /24"},
		{"10.64.0.0/16", 33, 0, 0, "can't get a /33"},
		{"10.64.0.0/16,10.65.0.0/16", 0, 0, 0, "one of each family"},
	} {
		var clusters []netip.Prefix
		for _, text := range strings.Split(test.clusters, ",") {
			clusters = append(clusters, netip.MustParsePrefix(text))
		}
		ranges, err := NewRanges(clusters, test.size, test.size4, test.size6)
		if err != nil && !strings.Contains(err.Error(), test.want) || err == nil && fmt.Sprint(ranges) != test.want {
			t.Errorf("%+v: %v %v", test, ranges, err)
		}
	}
}

func TestParts(t *testing.T) {
	for _, test := range []struct {
		cluster  string
		node     int
		services string
		want     string
	}{
		{"10.64.0.0/22", 24, "10.64.1.0/24", "10.64.0.0/24 10.64.2.0/24 10.64.3.0/24"},
		{"10.64.0.0/22", 24, "10.64.2.128/25", "10.64.0.0/24 10.64.1.0/24 10.64.3.0/24"},
		{"10.64.0.0/22", 24, "10.64.2.0/23", "10.64.0.0/24 10.64.1.0/24"},
		{"10.64.0.0/22", 24, "10.0.0.0/8", ""},
		{"10.64.0.0/23", 24, "10.96.0.0/24", "10.64.0.0/24 10.64.1.0/24"},
		{"10.64.0.0/24", 24, "10.96.0.0/24", "10.64.0.0/24"},
		{"fd00::/62", 64, "fd00:0:0:1::/112", "fd00::/64 fd00:0:0:2::/64 fd00:0:0:3::/64"},
	} {
		p := newParts(Range{netip.MustParsePrefix(test.cluster), test.node})
		p.occupy(netip.MustParsePrefix(test.services))
		var got []string
		for {
			prefix, ok := p.allocate()
			if !ok {
				break
			}
			got = append(got, prefix.String())
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%s without %s: %s, want %s", test.cluster, test.services, text, test.want)
			continue
		}
		if p.used != p.count {
			t.Errorf("%s: %d of %d are used", test.cluster, p.used, p.count)
		}
		// What is given back is given again, and nothing else.
		if len(got) > 0 {
			last := netip.MustParsePrefix(got[len(got)-1])
			p.release(last)
			if again, ok := p.allocate(); !ok || again != last {
				t.Errorf("%s: again %v", test.cluster, again)
			}
		}
	}
}
