package bootstrap

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/storage"
)

const serviceName = "kubernetes"

// ensureService creates the service by which pods reach the API, if it is
// missing. It fails until the default range of addresses has been noticed by
// the allocator.
func (b *Bootstrap) ensureService(ctx context.Context) error {
	port := corev1.ServicePort{
		Name: "https", Protocol: corev1.ProtocolTCP,
		Port: int32(b.ServicePort), TargetPort: intstr.FromInt32(int32(b.SecurePort)), NodePort: int32(b.NodePort),
	}
	kind := corev1.ServiceTypeClusterIP
	if b.NodePort > 0 {
		kind = corev1.ServiceTypeNodePort
	}
	families := corev1.IPFamilyPolicySingleStack
	services := b.client.CoreV1().Services(metav1.NamespaceDefault)
	return ensure(
		func() error { return second(services.Get(ctx, serviceName, metav1.GetOptions{})) },
		func() error {
			return second(services.Create(ctx, &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{
					Name: serviceName, Namespace: metav1.NamespaceDefault,
					Labels: map[string]string{"provider": "kubernetes", "component": "apiserver"},
				},
				Spec: corev1.ServiceSpec{
					Ports: []corev1.ServicePort{port}, ClusterIP: b.serviceIP.String(), IPFamilyPolicy: &families,
					SessionAffinity: corev1.ServiceAffinityNone, Type: kind,
				},
			}, metav1.CreateOptions{}))
		})
}

// reconcileService renews this server's lease, and makes the service's
// endpoints those of the servers that have one.
func (b *Bootstrap) reconcileService(ctx context.Context) error {
	if err := b.ensureService(ctx); err != nil {
		return err
	}
	err := b.endpoints.ReconcileEndpoints(serviceName, b.PublicIP, b.endpointPorts(), false)
	if apierrors.IsConflict(err) {
		return nil // another server was faster; what it missed, the next round finds
	}
	return err
}

func (b *Bootstrap) leaveService() error {
	err := b.endpoints.RemoveEndpoints(serviceName, b.PublicIP, b.endpointPorts())
	if storage.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func (b *Bootstrap) endpointPorts() []corev1.EndpointPort {
	return []corev1.EndpointPort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: int32(b.SecurePort)}}
}
