package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// Copies creates pods that are alike but for the names that the API makes up. It
// encodes them once, and of each answer it decodes the metadata alone.
type Copies struct {
	control *Control
	owner   Owner
	pod     *corev1.Pod
	body    []byte
}

// Copies are to be made of the pod, for the owner and in its namespace.
func (c *Control) Copies(owner Owner, pod *corev1.Pod) (*Copies, error) {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	body, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion), pod)
	if err != nil {
		return nil, fmt.Errorf("encode a pod of %s/%s: %w", owner.GetNamespace(), owner.GetName(), err)
	}
	return &Copies{c, owner, pod, body}, nil
}

// Create creates one more, as [Control.Create] does.
func (c *Copies) Create(ctx context.Context) error {
	return c.control.create(c.owner, c.pod, func() (metav1.Object, error) {
		created := &metav1.PartialObjectMetadata{}
		err := c.control.Client.CoreV1().RESTClient().Post().Namespace(c.owner.GetNamespace()).Resource("pods").
			SetHeader("Content-Type", runtime.ContentTypeProtobuf).Body(c.body).Do(ctx).Into(created)
		return created, err
	})
}
