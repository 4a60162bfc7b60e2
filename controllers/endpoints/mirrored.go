//lint:file-ignore SA1019 Endpoints are deprecated, and kept for those who still read them

package endpoints

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	endpointsliceutil "k8s.io/endpointslice/util"
	netutils "k8s.io/utils/net"
)

// A mirrorPlan is what makes slices mirror Endpoints.
type mirrorPlan struct {
	create, update, remove, keep []*discoveryv1.EndpointSlice

	added, updated, removed int // endpoints
	invalid                 int // addresses that are none
	skipped                 int // addresses that aren't mirrored, invalid ones too
	counts                  mirrorCount
}

// A mirrorGroup is what becomes one slice: addresses of a family that have the
// same ports.
type mirrorGroup struct {
	family discoveryv1.AddressType
	ports  endpointsliceutil.PortMapKey
}

// mirror plans one slice for each set of ports and family of addresses, with at
// most so many of a subset's addresses.
func mirror(endpoints *corev1.Endpoints, existing []*discoveryv1.EndpointSlice, most int) mirrorPlan {
	var plan mirrorPlan
	ports, wanted := map[mirrorGroup][]discoveryv1.EndpointPort{}, map[mirrorGroup]endpointsliceutil.EndpointSet{}
	for _, subset := range repack(endpoints.Subsets) {
		mirroredPorts := portsOf(subset.Ports)
		key, taken := endpointsliceutil.NewPortMapKey(mirroredPorts), 0
		add := func(addresses []corev1.EndpointAddress, ready bool) {
			for i := range addresses {
				if taken >= most {
					return
				}
				endpoint, family, ok := endpointOf(&addresses[i], ready)
				if !ok {
					plan.invalid++
					continue
				}
				taken++
				group := mirrorGroup{family, key}
				if wanted[group] == nil {
					wanted[group], ports[group] = endpointsliceutil.EndpointSet{}, mirroredPorts
				}
				wanted[group].Insert(endpoint)
			}
		}
		add(subset.Addresses, true)
		add(subset.NotReadyAddresses, false)
		plan.skipped += len(subset.Addresses) + len(subset.NotReadyAddresses) - taken
	}
	have := map[mirrorGroup][]*discoveryv1.EndpointSlice{}
	for _, slice := range existing {
		group := mirrorGroup{slice.AddressType, endpointsliceutil.NewPortMapKey(slice.Ports)}
		have[group] = append(have[group], slice)
	}
	for group, set := range wanted {
		plan.group(endpoints, group.family, ports[group], set, have[group], most)
		delete(have, group)
	}
	for _, unwanted := range have {
		plan.remove = append(plan.remove, unwanted...)
	}
	plan.recycle()
	return plan
}

// group plans the one slice of a group; others of the group go.
func (p *mirrorPlan) group(endpoints *corev1.Endpoints, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, wanted endpointsliceutil.EndpointSet, have []*discoveryv1.EndpointSlice, most int) {
	p.counts.endpoints += len(wanted)
	p.counts.slices++
	p.counts.ideal += (len(wanted) + most - 1) / most
	slice := mirrorSlice(endpoints, family, ports)
	if len(have) == 0 {
		p.added += len(wanted)
	} else {
		p.remove = append(p.remove, have[1:]...)
		added, updated, removed := differences(have[0], wanted)
		owned := len(have[0].OwnerReferences) > 0 && have[0].OwnerReferences[0].UID == endpoints.UID
		if added+updated+removed == 0 && owned && maps.Equal(slice.Labels, have[0].Labels) && maps.Equal(slice.Annotations, have[0].Annotations) {
			p.keep = append(p.keep, have[0])
			return
		}
		p.added, p.updated, p.removed = p.added+added, p.updated+updated, p.removed+removed
		slice.Name, slice.GenerateName = have[0].Name, ""
	}
	for len(wanted) > 0 && len(slice.Endpoints) < most {
		endpoint, _ := wanted.PopAny()
		slice.Endpoints = append(slice.Endpoints, *endpoint)
	}
	if slice.Name == "" {
		p.create = append(p.create, slice)
	} else {
		p.update = append(p.update, slice)
	}
}

// recycle turns a deletion and a creation into an update, which readers see as
// one change.
func (p *mirrorPlan) recycle() {
	var create, remove []*discoveryv1.EndpointSlice
	remove = append(remove, p.remove...)
	for _, slice := range p.create {
		recycled := false
		for i, old := range remove {
			if old.AddressType == slice.AddressType { // which can't change
				slice.Name, slice.GenerateName = old.Name, ""
				p.update = append(p.update, slice)
				remove = append(remove[:i], remove[i+1:]...)
				recycled = true
				break
			}
		}
		if !recycled {
			create = append(create, slice)
		}
	}
	p.create, p.remove = create, remove
}

func differences(slice *discoveryv1.EndpointSlice, wanted endpointsliceutil.EndpointSet) (added, updated, removed int) {
	found := 0
	for i := range slice.Endpoints {
		endpoint := wanted.Get(&slice.Endpoints[i])
		switch {
		case endpoint == nil:
			removed++
			continue
		case !endpointsliceutil.EndpointsEqualBeyondHash(endpoint, &slice.Endpoints[i]):
			updated++
		}
		found++
	}
	return len(wanted) - found, updated, removed
}

// mirrorSlice is an empty slice with the labels and annotations of Endpoints,
// but for those that tell how the Endpoints came about.
func mirrorSlice(endpoints *corev1.Endpoints, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	prefix := endpoints.Name + "-"
	if len(apivalidation.NameIsDNSSubdomain(prefix, true)) > 0 {
		prefix = endpoints.Name
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: prefix, Namespace: endpoints.Namespace,
			Labels: map[string]string{}, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(endpoints, corev1.SchemeGroupVersion.WithKind("Endpoints"))},
		},
		AddressType: family, Ports: ports, Endpoints: []discoveryv1.Endpoint{},
	}
	maps.Copy(slice.Labels, endpoints.Labels)
	slice.Labels[discoveryv1.LabelServiceName] = endpoints.Name
	slice.Labels[discoveryv1.LabelManagedBy] = mirrorManager
	maps.Copy(slice.Annotations, endpoints.Annotations)
	delete(slice.Annotations, corev1.EndpointsLastChangeTriggerTime)
	delete(slice.Annotations, corev1.LastAppliedConfigAnnotation)
	return slice
}

func portsOf(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	mirrored := make([]discoveryv1.EndpointPort, len(ports))
	for i, port := range ports {
		mirrored[i] = discoveryv1.EndpointPort{Name: &port.Name, Port: &port.Port, Protocol: &port.Protocol, AppProtocol: port.AppProtocol}
	}
	return mirrored
}

func endpointOf(address *corev1.EndpointAddress, ready bool) (*discoveryv1.Endpoint, discoveryv1.AddressType, bool) {
	ip := netutils.ParseIPSloppy(address.IP)
	if ip == nil {
		return nil, "", false
	}
	family := discoveryv1.AddressTypeIPv4
	if netutils.IsIPv6(ip) {
		family = discoveryv1.AddressTypeIPv6
	}
	endpoint := &discoveryv1.Endpoint{
		Addresses: []string{ip.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef: address.TargetRef, NodeName: address.NodeName,
	}
	if address.Hostname != "" {
		endpoint.Hostname = &address.Hostname
	}
	return endpoint, family, true
}
