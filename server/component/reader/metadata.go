package reader

import (
	"context"
	"fmt"
	"time"

	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// acceptMetadata is what client-go's metadata client asks for.
const acceptMetadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// Metadata watches the metadata of objects of any kind.
type Metadata struct{ client rest.Interface }

// NewMetadata makes a client for watching metadata.
func NewMetadata(access *rest.Config) (*Metadata, error) {
	config := metadata.ConfigFor(access)
	config.APIPath, config.GroupVersion = "/", &schema.GroupVersion{} // of no resource in particular
	config.NegotiatedSerializer = codecs{config.NegotiatedSerializer, metainternal.Scheme}
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for watching metadata: %w", err)
	}
	return &Metadata{client}, nil
}

// Watch watches all objects of a resource.
func (m *Metadata) Watch(ctx context.Context, resource schema.GroupVersionResource, options metav1.ListOptions) (watch.Interface, error) {
	path := []string{"/apis", resource.Group, resource.Version, resource.Resource}
	if resource.Group == "" {
		path = []string{"/api", resource.Version, resource.Resource}
	}
	options.Watch = true
	var timeout time.Duration
	if options.TimeoutSeconds != nil {
		timeout = time.Duration(*options.TimeoutSeconds) * time.Second
	}
	return m.client.Get().AbsPath(path...).SetHeader("Accept", acceptMetadata).
		SpecificallyVersionedParams(&options, metainternal.ParameterCodec, metav1.SchemeGroupVersion).Timeout(timeout).Watch(ctx)
}
