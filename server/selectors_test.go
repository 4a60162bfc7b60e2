package server

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/howdah/howdah/auth/authorization"
)

// A selective authorizer is a webhook that allows lists of what is on one node.
type selective struct {
	mu    sync.Mutex
	asked map[string]authorizationv1.SubjectAccessReviewSpec // the last of each user
}

func (s *selective) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review := &authorizationv1.SubjectAccessReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.asked[review.Spec.User] = review.Spec
	s.mu.Unlock()
	a := review.Spec.ResourceAttributes
	if a != nil && a.FieldSelector != nil {
		for _, f := range a.FieldSelector.Requirements {
			if f.Key == "spec.nodeName" && f.Operator == metav1.FieldSelectorOpIn && len(f.Values) == 1 && f.Values[0] == "n1" {
				review.Status.Allowed = true
			}
		}
	}
	_ = json.NewEncoder(w).Encode(review)
}

func (s *selective) last(user string) authorizationv1.SubjectAccessReviewSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[user]
}

// TestSelectorsAreAuthorized: a webhook is told what a list selects, by requests
// and by access reviews, and what can't be read selects nothing.
func TestSelectorsAreAuthorized(t *testing.T) {
	t.Parallel()
	hook := &selective{asked: map[string]authorizationv1.SubjectAccessReviewSpec{}}
	service := httptest.NewTLSServer(hook)
	t.Cleanup(service.Close)
	file := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: service.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw})}},
		Contexts: map[string]*clientcmdapi.Context{"c": {Cluster: "c"}}, CurrentContext: "c",
	}, file); err != nil {
		t.Fatal(err)
	}
	o := Options{DataDir: t.TempDir(), Authorization: authorization.DefaultOptions()}
	o.Authorization.Modes, o.Authorization.WebhookConfigFile, o.Authorization.WebhookVersion = []string{"RBAC", "Webhook"}, file, "v1"
	s := start(t, o)
	ctx := t.Context()
	jane, _ := caller(t, s, "jane")
	pods := jane.CoreV1().Pods("default")
	if _, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1", LabelSelector: "app in (a,b),!c"}); err != nil {
		t.Errorf("a list of one node: %v", err)
	}
	asked := hook.last("jane").ResourceAttributes
	want := []metav1.LabelSelectorRequirement{
		{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}, {Key: "c", Operator: metav1.LabelSelectorOpDoesNotExist},
	}
	if asked == nil || asked.LabelSelector == nil || !reflect.DeepEqual(asked.LabelSelector.Requirements, want) {
		t.Errorf("the webhook was asked about %+v", asked)
	}
	for _, selector := range []string{"spec.nodeName=n2", "spec.nodeName!=n1", "metadata.name=n1", ""} {
		if _, err := pods.List(ctx, metav1.ListOptions{FieldSelector: selector}); !apierrors.IsForbidden(err) {
			t.Errorf("a list by %q: %v", selector, err)
		}
	}
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}); err != nil {
		t.Errorf("a delete of one node's: %v", err)
	}

	review := func(fields *authorizationv1.FieldSelectorAttributes) (authorizationv1.SubjectAccessReviewStatus, error) {
		got, err := admin(t, s).AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "joe", ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Verb: "list", Resource: "pods", FieldSelector: fields},
		}}, metav1.CreateOptions{})
		if err != nil {
			return authorizationv1.SubjectAccessReviewStatus{}, err
		}
		return got.Status, nil
	}
	on := func(node string) []metav1.FieldSelectorRequirement {
		return []metav1.FieldSelectorRequirement{{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpIn, Values: []string{node}}}
	}
	for what, c := range map[string]struct {
		fields *authorizationv1.FieldSelectorAttributes
		want   bool
	}{
		"requirements":         {&authorizationv1.FieldSelectorAttributes{Requirements: on("n1")}, true},
		"another node's":       {&authorizationv1.FieldSelectorAttributes{Requirements: on("n2")}, false},
		"a selector in a text": {&authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n1"}, true},
		"a text of another":    {&authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n2"}, false},
		"a text that is none":  {&authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName in n1"}, false},
		"no selector":          {nil, false},
	} {
		if got, err := review(c.fields); err != nil || got.Allowed != c.want {
			t.Errorf("%s: %+v %v, want %t", what, got, err, c.want)
		}
	}
	if _, err := review(&authorizationv1.FieldSelectorAttributes{RawSelector: "a=b", Requirements: on("n1")}); !apierrors.IsInvalid(err) {
		t.Errorf("a text and requirements: %v", err)
	}
}
