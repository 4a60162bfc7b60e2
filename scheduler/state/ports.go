package state

import corev1 "k8s.io/api/core/v1"

// A HostPort is a port of the node that a pod takes. An IP of 0.0.0.0 stands
// for all addresses.
type HostPort struct {
	IP       string
	Protocol corev1.Protocol
	Port     int32
}

const allAddresses = "0.0.0.0"

// conflicts tells whether both ports can't be taken on one node.
func (p HostPort) conflicts(other HostPort) bool {
	return p.Port == other.Port && p.Protocol == other.Protocol &&
		(p.IP == other.IP || p.IP == allAddresses || other.IP == allAddresses)
}

// PortsConflict tells whether one of wanted is taken already.
func PortsConflict(wanted, taken []HostPort) bool {
	for _, want := range wanted {
		for _, have := range taken {
			if want.conflicts(have) {
				return true
			}
		}
	}
	return false
}

// hostPorts are those of the containers that run for good: init containers only
// if they are sidecars.
func hostPorts(pod *corev1.Pod) []HostPort {
	var ports []HostPort
	add := func(container *corev1.Container) {
		for _, port := range container.Ports {
			if port.HostPort <= 0 {
				continue
			}
			p := HostPort{IP: port.HostIP, Protocol: port.Protocol, Port: port.HostPort}
			if p.IP == "" {
				p.IP = allAddresses
			}
			if p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
			ports = append(ports, p)
		}
	}
	for i := range pod.Spec.InitContainers {
		container := &pod.Spec.InitContainers[i]
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(container)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return ports
}
