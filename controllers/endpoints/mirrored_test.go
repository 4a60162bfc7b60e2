//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMirror(t *testing.T) {
	of := func(subsets ...corev1.EndpointSubset) *corev1.Endpoints {
		return &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "db", UID: "uid", Labels: map[string]string{"x": "y"}, Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}},
			Subsets:    subsets,
		}
	}
	// settled are the slices that mirror Endpoints.
	settled := func(e *corev1.Endpoints) []*discoveryv1.EndpointSlice {
		made := mirror(e, nil, 3).create
		for i, slice := range made {
			slice.Name = string(rune('a' + i))
		}
		return made
	}
	one := of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.1"), Ports: ports("sql")})
	other := of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.1"), Ports: ports("admin")})
	relabelled := one.DeepCopy()
	relabelled.Labels["x"] = "z"
	remade := one.DeepCopy()
	remade.UID = "another"
	for _, test := range []struct {
		name                               string
		endpoints                          *corev1.Endpoints
		existing                           []*discoveryv1.EndpointSlice
		create, update, remove, keep       int
		added, updated, removed, inv, skip int
	}{
		{name: "new", endpoints: one, create: 1, added: 1},
		{name: "nothing to do", endpoints: one, existing: settled(one), keep: 1},
		{name: "no addresses", endpoints: of(), existing: settled(one), remove: 1},
		{name: "both families", endpoints: of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.1", "fd00::1"), Ports: ports("sql")}), existing: settled(one), create: 1, keep: 1, added: 1},
		{name: "no address", endpoints: of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.1", "db.example.org"), Ports: ports("sql")}), existing: settled(one), keep: 1, inv: 1, skip: 1},
		{name: "too many", endpoints: of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.1", "10.0.0.2", "10.0.0.3"), NotReadyAddresses: addressesOf("10.0.0.4"), Ports: ports("sql")}), existing: settled(one), update: 1, added: 2, skip: 1},
		{name: "not ready", endpoints: of(corev1.EndpointSubset{NotReadyAddresses: addressesOf("10.0.0.1"), Ports: ports("sql")}), existing: settled(one), update: 1, updated: 1},
		{name: "another address", endpoints: of(corev1.EndpointSubset{Addresses: addressesOf("10.0.0.2"), Ports: ports("sql")}), existing: settled(one), update: 1, added: 1, removed: 1},
		{name: "another port recycles", endpoints: other, existing: settled(one), update: 1, added: 1},
		{name: "labels", endpoints: relabelled, existing: settled(one), update: 1},
		{name: "made anew", endpoints: remade, existing: settled(one), update: 1},
	} {
		p := mirror(test.endpoints, test.existing, 3)
		if len(p.create) != test.create || len(p.update) != test.update || len(p.remove) != test.remove || len(p.keep) != test.keep {
			t.Errorf("%s: creates %d, updates %d, removes %d, keeps %d", test.name, len(p.create), len(p.update), len(p.remove), len(p.keep))
		}
		if p.added != test.added || p.updated != test.updated || p.removed != test.removed || p.invalid != test.inv || p.skipped != test.skip {
			t.Errorf("%s: %+v", test.name, p)
		}
		for _, slice := range append(p.create, p.update...) {
			if len(slice.Endpoints) == 0 || slice.Labels[discoveryv1.LabelServiceName] != "db" || slice.Labels["x"] == "" || len(slice.Annotations) != 0 {
				t.Errorf("%s: %+v", test.name, slice)
			}
		}
	}
}
