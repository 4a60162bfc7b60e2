// Package reader owns the client that informers read through. It is a client like
// any other, but what watches tell in protobuf it decodes from where it arrives,
// without the copies of it that client-go makes, and without managedFields: there
// are as many events as there are writes, and their garbage costs more than the
// objects themselves.
package reader

import (
	"fmt"
	"net/http"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcoordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// client has clients of its own for the groups that have what changes most.
type client struct {
	kubernetes.Interface
	core         typedcorev1.CoreV1Interface
	coordination typedcoordinationv1.CoordinationV1Interface
}

func (c *client) CoreV1() typedcorev1.CoreV1Interface { return c.core }

func (c *client) CoordinationV1() typedcoordinationv1.CoordinationV1Interface { return c.coordination }

// New makes a client for informers.
func New(access *rest.Config) (kubernetes.Interface, error) {
	connection, err := rest.HTTPClientFor(access)
	if err != nil {
		return nil, fmt.Errorf("make a client for informers: %w", err)
	}
	all, err := kubernetes.NewForConfigAndClient(access, connection)
	if err != nil {
		return nil, fmt.Errorf("make a client for informers: %w", err)
	}
	core, err := group(access, connection, "/api", corev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	coordination, err := group(access, connection, "/apis", coordinationv1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	return &client{all, typedcorev1.New(core), typedcoordinationv1.New(coordination)}, nil
}

func group(access *rest.Config, connection *http.Client, path string, version schema.GroupVersion) (rest.Interface, error) {
	config := rest.CopyConfig(access)
	config.APIPath, config.GroupVersion = path, &version
	config.NegotiatedSerializer = codecs{rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion(), scheme.Scheme}
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	made, err := rest.RESTClientForConfigAndClient(config, connection)
	if err != nil {
		return nil, fmt.Errorf("make a client for informers of %s: %w", version, err)
	}
	return made, nil
}
