package authorization

import (
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/apiserver/pkg/server/options"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
)

// newWebhook asks a service with SubjectAccessReviews.
func newWebhook(a apiserver.AuthorizerConfiguration, compiler cel.Compiler) (Member, error) {
	w := a.Webhook
	if w.ConnectionInfo.KubeConfigFile == nil {
		// InClusterConfig is for servers that run in a cluster as pods.
		return nil, fmt.Errorf("connectionInfo of type %s is not supported, use KubeConfigFile", w.ConnectionInfo.Type)
	}
	client, err := webhookutil.LoadKubeconfig(*w.ConnectionInfo.KubeConfigFile, nil)
	if err != nil {
		return nil, fmt.Errorf("read its kubeconfig: %w", err)
	}
	if w.Timeout.Duration != 0 {
		client.Timeout = w.Timeout.Duration
	}
	onFailure := authorizer.DecisionNoOpinion
	switch w.FailurePolicy {
	case apiserver.FailurePolicyNoOpinion:
	case apiserver.FailurePolicyDeny:
		onFailure = authorizer.DecisionDeny
	default:
		return nil, fmt.Errorf("unknown failurePolicy %q", w.FailurePolicy)
	}
	authorized, unauthorized := w.AuthorizedTTL.Duration, w.UnauthorizedTTL.Duration
	if !w.CacheAuthorizedRequests {
		authorized = 0
	}
	if !w.CacheUnauthorizedRequests {
		unauthorized = 0
	}
	return webhook.New(client, w.SubjectAccessReviewVersion, authorized, unauthorized, *options.DefaultAuthWebhookRetryBackoff(),
		onFailure, w.MatchConditions, a.Name, webhookMetrics{WebhookMetrics: metrics.NewWebhookMetrics(), MatcherMetrics: cel.NewMatcherMetrics()}, compiler)
}

// webhookMetrics are those that kube-apiserver has.
type webhookMetrics struct {
	metrics.NoopRequestMetrics
	metrics.WebhookMetrics
	cel.MatcherMetrics
}
