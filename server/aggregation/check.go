package aggregation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/transport"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
)

const (
	checkTimeout = 5 * time.Second
	// How often an unavailable server is tried, and an available one.
	retryInterval = time.Second
	checkInterval = 10 * time.Second
	// maxAnswer bounds what a server may say of itself, in bytes.
	maxAnswer = 32 << 20
)

// found is what a server says of its group version.
type found struct {
	resources []metav1.APIResource
	openapi   string // the hash of its document of OpenAPI v3; empty: it has none
}

// watch checks the server and writes what comes of it, until ctx ends.
func (r *remote) watch(ctx context.Context) {
	for {
		verdict := r.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := r.write(ctx, verdict); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			r.services.log.Warn("the availability of an APIService can't be written", "apiservice", r.name, "err", err)
		}
		pause := retryInterval
		if verdict.Status == apiregistrationv1.ConditionTrue {
			pause = checkInterval
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (r *remote) write(ctx context.Context, verdict apiregistrationv1.APIServiceCondition) error {
	before := r.service.Load()
	service := before.DeepCopy()
	helper.SetAPIServiceCondition(service, verdict)
	if equality.Semantic.DeepEqual(service.Status, before.Status) {
		return nil
	}
	if _, err := r.services.client.UpdateStatus(ctx, service, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if helper.IsAPIServiceConditionTrue(before, apiregistrationv1.Available) && verdict.Status != apiregistrationv1.ConditionTrue {
		r.services.outages.WithLabelValues(r.name, verdict.Reason).Inc()
	}
	return nil
}

// check says whether the server can be used, in upstream's words.
func (r *remote) check(ctx context.Context) apiregistrationv1.APIServiceCondition {
	verdict := func(status apiregistrationv1.ConditionStatus, reason, format string, args ...any) apiregistrationv1.APIServiceCondition {
		return apiregistrationv1.APIServiceCondition{
			Type: apiregistrationv1.Available, Status: status, LastTransitionTime: metav1.Now(),
			Reason: reason, Message: fmt.Sprintf(format, args...),
		}
	}
	no, unknown := apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown
	at := r.spec.Service
	service, err := r.services.services.Services(at.Namespace).Get(at.Name)
	switch {
	case apierrors.IsNotFound(err):
		return verdict(no, "ServiceNotFound", "service/%s in %q is not present", at.Name, at.Namespace)
	case err != nil:
		return verdict(unknown, "ServiceAccessError", "service/%s in %q cannot be checked due to: %v", at.Name, at.Namespace, err)
	}
	if service.Spec.Type == corev1.ServiceTypeClusterIP {
		i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == *at.Port })
		if i < 0 {
			return verdict(no, "ServicePortError", "service/%s in %q is not listening on port %d", at.Name, at.Namespace, *at.Port)
		}
		port := service.Spec.Ports[i].Name
		endpoints, err := r.services.slices.EndpointSlices(at.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: at.Name}))
		switch {
		case err != nil:
			return verdict(unknown, "EndpointsAccessError", "service/%s in %q cannot be checked due to: %v", at.Name, at.Namespace, err)
		case len(endpoints) == 0:
			return verdict(no, "EndpointsNotFound", "cannot find endpointslices for service/%s in %q", at.Name, at.Namespace)
		case !slices.ContainsFunc(endpoints, func(s *discoveryv1.EndpointSlice) bool { return ready(s, port) }):
			return verdict(no, "MissingEndpoints", "endpointslices for service/%s in %q have no addresses with port name %q", at.Name, at.Namespace, port)
		}
	}
	if err := r.discover(ctx); err != nil {
		return verdict(no, "FailedDiscoveryCheck", "%v", err)
	}
	return verdict(apiregistrationv1.ConditionTrue, "Passed", "all checks passed")
}

func ready(s *discoveryv1.EndpointSlice, port string) bool {
	return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }) &&
		slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return p.Name != nil && *p.Name == port && p.Port != nil })
}

// discover asks the server what it has.
func (r *remote) discover(ctx context.Context) error {
	if r.broken != nil {
		return r.broken
	}
	var list metav1.APIResourceList
	path := "/" + r.documentPath()
	body, err := r.get(ctx, path, "application/json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("failing or missing response from %s: %w", path, err)
	}
	next := &found{resources: list.APIResources, openapi: r.openapiHash(ctx)}
	if old := r.found.Swap(next); !reflect.DeepEqual(old, next) {
		r.services.changes.Add(1)
	}
	return nil
}

// get asks the server as the aggregator itself, which may read everything.
func (r *remote) get(ctx context.Context, path, accept string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	location, err := r.resolve()
	if err != nil {
		return nil, err
	}
	if location, err = location.Parse(path); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	transport.SetAuthProxyHeaders(request, "system:kube-aggregator", "", []string{"system:masters"}, nil)
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("failing or missing response from %v: %w", location, err)
	}
	defer response.Body.Close()
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("failing or missing response from %v: bad status from %v: %d", location, location, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too long")
	}
	if err != nil {
		return nil, fmt.Errorf("failing or missing response from %v: %w", location, err)
	}
	return body, nil
}
