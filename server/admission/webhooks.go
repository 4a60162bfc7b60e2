package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apiserver/pkg/util/webhook"
	restclient "k8s.io/client-go/rest"
)

// maxAnswer bounds what a webhook may say, in bytes: a patch for the largest
// object that a request can bring, several times over.
const maxAnswer = 16 << 20

// WebhookClients say how webhooks are called: with the credentials that the
// plugins' configuration has for them, and those of the Service
// default/kubernetes through the loopback.
func WebhookClients(loopback *restclient.Config) webhook.AuthenticationInfoResolverWrapper {
	upstreams := webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, ownWebhooks(loopback), noop.NewTracerProvider())
	return func(delegate webhook.AuthenticationInfoResolver) webhook.AuthenticationInfoResolver {
		return boundedClients{upstreams(delegate)}
	}
}

// ownWebhooks is the loopback as a configuration that takes the certificate
// authority of a webhook, which the loopback has no use for.
func ownWebhooks(loopback *restclient.Config) *restclient.Config {
	config := restclient.CopyConfig(loopback)
	config.Transport = nil
	config.Wrap(func(http.RoundTripper) http.RoundTripper { return loopback.Transport })
	return config
}

// boundedClients read no more than [maxAnswer] of an answer.
type boundedClients struct {
	webhook.AuthenticationInfoResolver
}

func (c boundedClients) ClientConfigFor(hostPort string) (*restclient.Config, error) {
	return bounded(c.AuthenticationInfoResolver.ClientConfigFor(hostPort))
}

func (c boundedClients) ClientConfigForService(name, namespace string, port int) (*restclient.Config, error) {
	return bounded(c.AuthenticationInfoResolver.ClientConfigForService(name, namespace, port))
}

func bounded(config *restclient.Config, err error) (*restclient.Config, error) {
	if err != nil {
		return nil, err
	}
	config = restclient.CopyConfig(config) // it may be everybody's
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return boundedTransport{next} })
	return config, nil
}

type boundedTransport struct{ http.RoundTripper }

// WrappedRoundTripper is how a request that takes too long is canceled.
func (t boundedTransport) WrappedRoundTripper() http.RoundTripper { return t.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = &boundedBody{ReadCloser: response.Body, within: r.Context(), left: maxAnswer}
	}
	return response, err
}

var errAnswerTooLong = fmt.Errorf("the webhook's answer is longer than %d bytes", maxAnswer)

// boundedBody ends in an error, where the body it has is longer or has come to its
// end too late: a webhook that notices that nobody waits any longer ends what it
// had begun to say.
type boundedBody struct {
	io.ReadCloser
	within context.Context
	left   int // -1: it was too long
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errAnswerTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, errors.Join(errAnswerTooLong, b.Close())
	}
	if err == io.EOF && b.within.Err() != nil {
		err = context.Cause(b.within)
	}
	return n, err
}
