package scheduling

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/metrics"
)

// A binder asks the API for bindings as client-go's client of Pods does, with its
// metrics, but without its builder of requests, which takes as long as choosing a node
// and leaves 7 kB of garbage for each pod.
type binder struct {
	client *http.Client
	base   *url.URL // of the API's core group
	codec  *protobuf.Serializer
}

func newBinder(access *rest.Config, client *http.Client) (*binder, error) {
	config := rest.CopyConfig(access)
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	base, version, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the API: %w", err)
	}
	base.Path = path.Join("/", base.Path, version)
	return &binder{client: client, base: base, codec: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

func (b *binder) bind(ctx context.Context, binding *corev1.Binding) error {
	sent := *binding
	sent.APIVersion, sent.Kind = "v1", "Binding"
	var body bytes.Buffer
	if err := b.codec.Encode(&sent, &body); err != nil {
		return err
	}
	at := *b.base
	at.Path += "/namespaces/" + binding.Namespace + "/pods/" + binding.Name + "/binding"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "", &body)
	if err != nil {
		return err
	}
	request.URL, request.Host = &at, at.Host
	request.Header = http.Header{
		"Content-Type": {runtime.ContentTypeProtobuf},
		"Accept":       {runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON},
	}
	began := time.Now()
	response, err := b.client.Do(request)
	metrics.RequestLatency.Observe(ctx, http.MethodPost, at, time.Since(began))
	if err != nil {
		metrics.RequestResult.Increment(ctx, "<error>", http.MethodPost, at.Host)
		return err
	}
	defer response.Body.Close()
	metrics.RequestResult.Increment(ctx, strconv.Itoa(response.StatusCode), http.MethodPost, at.Host)
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case response.StatusCode >= 200 && response.StatusCode < 300:
		return nil
	}
	if object, _, err := scheme.Codecs.UniversalDeserializer().Decode(answer, nil, nil); err == nil {
		if status, ok := object.(*metav1.Status); ok && status.Status != metav1.StatusSuccess {
			return apierrors.FromObject(status)
		}
	}
	wait, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return apierrors.NewGenericServerResponse(response.StatusCode, http.MethodPost, corev1.Resource("pods"), binding.Name, string(answer), wait, true)
}
