package servicecidr

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOrphans(t *testing.T) {
	cidr := func(name string, cidrs ...string) *networkingv1.ServiceCIDR {
		return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
	}
	type cidrs = []*networkingv1.ServiceCIDR
	goes := cidr("goes", "10.0.0.0/24", "fd00::/112")
	for _, test := range []struct {
		name      string
		others    cidrs
		addresses []string
		want      bool
	}{
		{"nobody's", nil, nil, false},
		{"a Service has an address", nil, []string{"10.0.0.7"}, true},
		{"a Service has an IPv6 address", nil, []string{"fd00::7"}, true},
		{"addresses of others", cidrs{cidr("other", "10.9.0.0/24")}, []string{"10.9.0.1"}, false},
		{"another contains that address", cidrs{cidr("half", "10.0.0.0/25")}, []string{"10.0.0.7"}, false},
		{"another contains another address", cidrs{cidr("half", "10.0.0.0/25")}, []string{"10.0.0.7", "10.0.0.200"}, true},
		{"others contain it all", cidrs{cidr("four", "10.0.0.0/16"), cidr("six", "fd00::/64")}, []string{"10.0.0.7", "fd00::7"}, false},
		{"the same ranges again", cidrs{cidr("same", "10.0.0.0/24", "fd00::/112")}, []string{"10.0.0.7"}, false},
	} {
		var addresses []*networkingv1.IPAddress
		for _, address := range test.addresses {
			addresses = append(addresses, &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: address}})
		}
		if got := orphans(goes, append(cidrs{goes}, test.others...), addresses); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
