package loadbalancer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

func TestParsePool(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"192.0.2.4/30", "192.0.2.4-192.0.2.7"},
		{"192.0.2.9/30", "192.0.2.8-192.0.2.11"},
		{"192.0.2.1", "192.0.2.1-192.0.2.1"},
		{"192.0.2.20-192.0.2.22, 192.0.2.0/28", "192.0.2.0-192.0.2.15 192.0.2.20-192.0.2.22"},
		{"2001:db8::/126,192.0.2.1", "192.0.2.1-192.0.2.1 2001:db8::-2001:db8::3"},
		{"192.0.2.0/28,192.0.2.15", "overlap"},
		{"192.0.2.9-192.0.2.1", "ends before"},
		{"192.0.2.9-2001:db8::1", "families"},
		{"::ffff:192.0.2.1-::ffff:192.0.2.2", "IPv6 form"},
		{"web", "is not a CIDR"},
		{"", "is not a CIDR"},
	} {
		pool, err := ParsePool(strings.Split(test.text, ","))
		got := ""
		for _, r := range pool {
			got = strings.TrimSpace(fmt.Sprintf("%s %s-%s", got, r.First, r.Last))
		}
		if err != nil {
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s", test.text, err, test.want)
			}
		} else if got != test.want {
			t.Errorf("%s: %s, want %s", test.text, got, test.want)
		}
	}
}

func FuzzParsePool(f *testing.F) {
	for _, text := range []string{"192.0.2.0/28", "192.0.2.1-192.0.2.9", "2001:db8::/64", "0.0.0.0/0", "::/0", "1-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pool, err := ParsePool(strings.Split(text, ","))
		if err != nil {
			return
		}
		for _, r := range pool {
			if r.Last.Less(r.First) || !pool.Contains(r.First) || !pool.Contains(r.Last) {
				t.Errorf("%s: %v", text, r)
			}
			if got, ok := pool.free(familyOf(r.First), func(netip.Addr) bool { return false }); !ok || !pool.Contains(got) {
				t.Errorf("%s: %v is free", text, got)
			}
		}
	})
}

func TestChoose(t *testing.T) {
	pool, err := ParsePool([]string{"192.0.2.1-192.0.2.3", "2001:db8::1-2001:db8::2"})
	if err != nil {
		t.Fatal(err)
	}
	all := func(texts ...string) (list []netip.Addr) {
		for _, text := range texts {
			list = append(list, netip.MustParseAddr(text))
		}
		return list
	}
	const four, six = corev1.IPv4Protocol, corev1.IPv6Protocol
	for _, test := range []struct {
		name     string
		families []corev1.IPFamily
		policy   corev1.IPFamilyPolicy
		asked    string
		has      []netip.Addr
		others   []netip.Addr
		want     string
	}{
		{name: "the first", families: []corev1.IPFamily{four}, want: "[192.0.2.1]"},
		{name: "the first that is free", families: []corev1.IPFamily{four}, others: all("192.0.2.1", "192.0.2.2"), want: "[192.0.2.3]"},
		{name: "none is free", families: []corev1.IPFamily{four}, others: all("192.0.2.1", "192.0.2.2", "192.0.2.3"), want: "no IPv4 address left"},
		{name: "keeps its own", families: []corev1.IPFamily{four}, has: all("192.0.2.2"), want: "[192.0.2.2]"},
		{name: "keeps its own of another pool", families: []corev1.IPFamily{four}, has: all("198.51.100.1"), want: "[198.51.100.1]"},
		{name: "not another's", families: []corev1.IPFamily{four}, has: all("192.0.2.1"), others: all("192.0.2.1"), want: "[192.0.2.2]"},
		{name: "as asked", families: []corev1.IPFamily{four}, has: all("192.0.2.1"), asked: "192.0.2.3", want: "[192.0.2.3]"},
		{name: "another's was asked", families: []corev1.IPFamily{four}, asked: "192.0.2.3", others: all("192.0.2.3"), want: "is another Service's"},
		{name: "a stranger was asked", families: []corev1.IPFamily{four}, asked: "192.0.2.77", want: "is not in"},
		{name: "IPv6", families: []corev1.IPFamily{six}, want: "[2001:db8::1]"},
		{name: "both", families: []corev1.IPFamily{six, four}, policy: corev1.IPFamilyPolicyRequireDualStack, want: "[2001:db8::1 192.0.2.1]"},
		{name: "both, but one is out", families: []corev1.IPFamily{four, six}, policy: corev1.IPFamilyPolicyRequireDualStack, others: all("2001:db8::1", "2001:db8::2"), want: "no IPv6 address left"},
		{name: "rather both", families: []corev1.IPFamily{four, six}, policy: corev1.IPFamilyPolicyPreferDualStack, others: all("2001:db8::1", "2001:db8::2"), want: "[192.0.2.1]"},
	} {
		h := newHolders()
		h.hold(cache.ObjectName{Name: "other"}, test.others)
		service := &corev1.Service{Spec: corev1.ServiceSpec{IPFamilies: test.families, IPFamilyPolicy: ptr.To(test.policy), LoadBalancerIP: test.asked}}
		got, err := pool.choose(service, test.has, h.takenFor(cache.ObjectName{Name: "this"}))
		if text := fmt.Sprint(got); err == nil && text != test.want || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v %v, want %s", test.name, got, err, test.want)
		}
	}
}

func TestHolders(t *testing.T) {
	h, a, b := newHolders(), cache.ObjectName{Name: "a"}, cache.ObjectName{Name: "b"}
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, step := range []struct {
		service cache.ObjectName
		hold    []netip.Addr
		freed   bool
	}{
		{a, []netip.Addr{one}, false},
		{b, []netip.Addr{one, two}, false}, // but one is a's
		{a, []netip.Addr{one}, false},
		{a, nil, true},
		{b, []netip.Addr{two}, false},
		{b, []netip.Addr{one}, true},
	} {
		if freed := h.hold(step.service, step.hold); freed != step.freed {
			t.Errorf("step %d freed: %v", i, freed)
		}
	}
	if len(h.of) != 1 || h.of[one] != b {
		t.Errorf("%v", h.of)
	}
}
