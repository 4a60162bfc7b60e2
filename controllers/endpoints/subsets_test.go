//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func addressesOf(ips ...string) []corev1.EndpointAddress {
	var all []corev1.EndpointAddress
	for _, ip := range ips {
		all = append(all, corev1.EndpointAddress{IP: ip})
	}
	return all
}

func ports(names ...string) []corev1.EndpointPort {
	var all []corev1.EndpointPort
	for i, name := range names {
		all = append(all, corev1.EndpointPort{Name: name, Port: int32(80 + i), Protocol: corev1.ProtocolTCP})
	}
	return all
}

// text tells subsets in short: addresses, not ready ones after a bar, ports.
func text(subsets []corev1.EndpointSubset) string {
	all := ""
	for _, s := range subsets {
		for _, a := range s.Addresses {
			all += a.IP + " "
		}
		if len(s.NotReadyAddresses) > 0 {
			all += "| "
		}
		for _, a := range s.NotReadyAddresses {
			all += a.IP + " "
		}
		all += "on"
		for _, p := range s.Ports {
			all += fmt.Sprintf(" %s:%d", p.Name, p.Port)
		}
		all += "; "
	}
	return all
}

func TestRepack(t *testing.T) {
	for _, test := range []struct {
		name    string
		subsets []corev1.EndpointSubset
		want    string
	}{
		{"none", nil, ""},
		{"in order", []corev1.EndpointSubset{{Addresses: addressesOf("2", "1"), Ports: ports("a", "b")}}, "1 2 on a:80 b:81; "},
		{"addresses of the same ports come together", []corev1.EndpointSubset{
			{Addresses: addressesOf("2"), Ports: ports("a")}, {Addresses: addressesOf("1"), Ports: ports("a")},
		}, "1 2 on a:80; "},
		{"ports of the same addresses come together", []corev1.EndpointSubset{
			{Addresses: addressesOf("1", "2"), Ports: ports("a", "b")[1:]}, {Addresses: addressesOf("2", "1"), Ports: ports("a")},
		}, "1 2 on a:80 b:81; "},
		{"others stay apart", []corev1.EndpointSubset{
			{Addresses: addressesOf("1", "2"), Ports: ports("a")}, {Addresses: addressesOf("1"), Ports: ports("a", "b")[1:]},
		}, "1 2 on a:80; 1 on b:81; "},
		{"not ready wins", []corev1.EndpointSubset{
			{Addresses: addressesOf("1", "2"), Ports: ports("a")}, {NotReadyAddresses: addressesOf("1"), Ports: ports("a")},
		}, "2 | 1 on a:80; "},
		{"without ports", []corev1.EndpointSubset{{Addresses: addressesOf("1")}, {NotReadyAddresses: addressesOf("2")}}, "1 | 2 on; "},
	} {
		got := repack(test.subsets)
		if text(got) != test.want {
			t.Errorf("%s: %q, want %q", test.name, text(got), test.want)
		}
		if again := repack(got); text(again) != test.want {
			t.Errorf("%s: again %q", test.name, text(again))
		}
	}
}

func TestTruncate(t *testing.T) {
	many := func(n int) []corev1.EndpointAddress { return make([]corev1.EndpointAddress, n) }
	for _, test := range []struct {
		subsets []corev1.EndpointSubset
		dropped bool
		want    []int // ready and not, of each
	}{
		{[]corev1.EndpointSubset{{Addresses: many(900), NotReadyAddresses: many(100)}}, false, []int{900, 100}},
		{[]corev1.EndpointSubset{{Addresses: many(900), NotReadyAddresses: many(200)}}, true, []int{900, 100}},
		{[]corev1.EndpointSubset{{Addresses: many(1500), NotReadyAddresses: many(200)}, {Addresses: many(500)}}, true, []int{750, 0, 250, 0}},
		{[]corev1.EndpointSubset{{NotReadyAddresses: many(1)}, {NotReadyAddresses: many(1500)}, {NotReadyAddresses: many(2)}}, true, []int{0, 1, 0, 999, 0, 0}},
	} {
		dropped := truncate(test.subsets)
		var got []int
		for _, s := range test.subsets {
			got = append(got, len(s.Addresses), len(s.NotReadyAddresses))
		}
		if dropped != test.dropped || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%v %v, want %v %v", dropped, got, test.dropped, test.want)
		}
	}
}

func TestDesired(t *testing.T) {
	ready, unready, gone := aPod(1, true), aPod(2, false), aPod(3, true)
	gone.Status.Phase = corev1.PodFailed
	leaving := aPod(4, true)
	leaving.DeletionTimestamp = &metav1.Time{}
	pods := []*corev1.Pod{unready, ready, gone, leaving}
	for _, test := range []struct {
		name   string
		change func(*corev1.Service)
		want   string
	}{
		{"ready and not", func(*corev1.Service) {}, "10.0.0.1 | 10.0.0.2 on http:8080; "},
		{"all that have an address", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }, "10.0.0.1 10.0.0.2 10.0.0.4 on http:8080; "},
		{"a port that no pod has", func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("web") }, ""},
		{"the other family", func(s *corev1.Service) { s.Spec.IPFamilies[0] = corev1.IPv6Protocol }, ""},
		{"headless without ports", func(s *corev1.Service) { s.Spec.Ports, s.Spec.ClusterIP = nil, corev1.ClusterIPNone }, "10.0.0.1 | 10.0.0.2 on; "},
	} {
		service := aService()
		test.change(service)
		current := &corev1.Endpoints{}
		got := desired(service, pods, current)
		if text(got.Subsets) != test.want {
			t.Errorf("%s: %q, want %q", test.name, text(got.Subsets), test.want)
		}
		if same(current, got) {
			t.Errorf("%s: nothing is the same as %v", test.name, got)
		}
		if again := desired(service, pods, got); !same(got, again) {
			t.Errorf("%s: not the same: %v and %v", test.name, got, again)
		}
		if _, headless := got.Labels[corev1.IsHeadlessService]; headless != (service.Spec.ClusterIP == corev1.ClusterIPNone) {
			t.Errorf("%s: labels %v", test.name, got.Labels)
		}
	}
}
