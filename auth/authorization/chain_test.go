package authorization

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/howdah/howdah/auth/rbac"
)

func newChain(t *testing.T, o Options) *Chain {
	t.Helper()
	c, err := New(Config{
		Options: o, Members: map[string]Member{"RBAC": rbac.NewEngine(), "Node": rbac.NewEngine()},
		ServerID: "test", Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func as(name string, groups ...string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name, Groups: groups}, Verb: "get", Resource: "pods", Name: "x", Namespace: "a", ResourceRequest: true}
}

func ask(t *testing.T, c *Chain, a authorizer.Attributes, want authorizer.Decision) string {
	t.Helper()
	decision, reason, _ := c.Authorize(t.Context(), a)
	if decision != want {
		t.Errorf("%s: %v %q, want %v", a.GetUser().GetName(), decision, reason, want)
	}
	return reason
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOptions has kube-apiserver's words for what it refuses.
func TestOptions(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"nothing":           {Options{}, ""},
		"all":               {Options{Modes: []string{"Node", "RBAC", "AlwaysAllow", "AlwaysDeny"}}, ""},
		"unknown mode":      {Options{Modes: []string{"RBAC", "rbac"}}, `authorization-mode "rbac" is not a valid mode`},
		"twice":             {Options{Modes: []string{"RBAC", "RBAC"}}, `authorization-mode ["RBAC" "RBAC"] has mode specified more than once`},
		"no policy":         {Options{Modes: []string{"ABAC"}}, "authorization-mode ABAC's authorization policy file not passed"},
		"no webhook":        {Options{Modes: []string{"Webhook"}}, "authorization-mode Webhook's authorization config file not passed"},
		"policy for nobody": {Options{PolicyFile: "x"}, "cannot specify --authorization-policy-file without mode ABAC"},
		"webhook for nobody": {Options{WebhookConfigFile: "x"},
			"cannot specify --authorization-webhook-config-file without mode Webhook"},
		"version": {Options{Modes: []string{"Webhook"}, WebhookConfigFile: "x", WebhookVersion: "v2"}, "v2"},
		"file and flags": {Options{ConfigFile: "x", OtherFlags: true},
			"--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"},
		"no file":     {Options{ConfigFile: filepath.Join(dir, "none")}, "no such file"},
		"not a file":  {Options{ConfigFile: write(t, filepath.Join(dir, "bad"), "x: y")}, "failed to load AuthorizationConfiguration from file"},
		"wrong name":  {Options{ConfigFile: write(t, filepath.Join(dir, "name"), configuration("{type: RBAC, name: roles}"))}, "expected name rbac for authorizer RBAC instead of roles"},
		"empty":       {Options{ConfigFile: write(t, filepath.Join(dir, "empty"), configuration())}, "at least one authorization mode must be defined"},
		"unknown":     {Options{ConfigFile: write(t, filepath.Join(dir, "unknown"), configuration("{type: Foo, name: foo}"))}, "Foo"},
		"strictly":    {Options{ConfigFile: write(t, filepath.Join(dir, "strict"), configuration("{type: RBAC, name: rbac, colour: red}"))}, "colour"},
		"a good file": {Options{ConfigFile: write(t, filepath.Join(dir, "good"), configuration("{type: RBAC, name: rbac}"))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.options.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func configuration(authorizers ...string) string {
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"
	for _, a := range authorizers {
		text += "- " + a + "\n"
	}
	return text
}

func TestModes(t *testing.T) {
	for _, mode := range []string{"AlwaysAllow", "AlwaysDeny", "RBAC"} {
		c := newChain(t, Options{Modes: []string{mode}})
		ask(t, c, as("root", user.SystemPrivilegedGroup), authorizer.DecisionAllow)
		want := authorizer.DecisionNoOpinion
		if mode == "AlwaysAllow" {
			want = authorizer.DecisionAllow
		}
		reason := ask(t, c, as("jane"), want)
		if mode == "AlwaysDeny" && reason != "alwaysdeny: Everything is forbidden." {
			t.Errorf("the reason is %q", reason)
		}
	}
	policy := write(t, filepath.Join(t.TempDir(), "policy"), `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"jane","namespace":"a","resource":"pods","readonly":true}}`)
	c := newChain(t, Options{Modes: []string{"ABAC"}, PolicyFile: policy})
	ask(t, c, as("jane"), authorizer.DecisionAllow)
	ask(t, c, as("joe"), authorizer.DecisionNoOpinion)
}

// A service answers reviews over HTTPS as a webhook does.
type service struct {
	calls  atomic.Int64
	answer atomic.Pointer[authorizationv1.SubjectAccessReviewStatus] // nil: it fails
	config string                                                    // a kubeconfig
	last   atomic.Pointer[authorizationv1.SubjectAccessReview]
}

func newService(t *testing.T) *service {
	s := &service{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		review := &authorizationv1.SubjectAccessReview{}
		answer := s.answer.Load()
		if err := json.NewDecoder(r.Body).Decode(review); err != nil || answer == nil {
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		s.last.Store(review.DeepCopy())
		review.Status = *answer
		json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	s.config = kubeconfigOf(t, server)
	return s
}

func kubeconfigOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	config := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: server.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}},
		Contexts: map[string]*clientcmdapi.Context{"c": {Cluster: "c"}}, CurrentContext: "c",
	}
	file := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *service) says(allowed, denied bool, reason string) {
	s.answer.Store(&authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Denied: denied, Reason: reason})
}

func TestWebhookFlags(t *testing.T) {
	s := newService(t)
	s.says(true, false, "because")
	o := DefaultOptions()
	o.Modes, o.WebhookConfigFile, o.WebhookVersion = []string{"RBAC", "Webhook"}, s.config, "v1"
	c := newChain(t, o)
	for range 3 {
		if reason := ask(t, c, as("jane"), authorizer.DecisionAllow); reason != "because" {
			t.Errorf("the reason is %q", reason)
		}
	}
	if calls := s.calls.Load(); calls != 1 {
		t.Errorf("%d calls for the same question, want 1", calls)
	}
	if got := s.last.Load().Spec; got.User != "jane" || got.ResourceAttributes == nil || got.ResourceAttributes.Resource != "pods" {
		t.Errorf("the webhook was asked about %+v", got)
	}
	s.says(false, true, "never")
	ask(t, c, as("joe"), authorizer.DecisionDeny)
	s.says(false, false, "")
	ask(t, c, as("jim"), authorizer.DecisionNoOpinion)
	ask(t, c, as("root", user.SystemPrivilegedGroup), authorizer.DecisionAllow)
}

func (s *service) authorizer(name, failurePolicy, condition string) string {
	return fmt.Sprintf(`{type: Webhook, name: %s, webhook: {timeout: 1s, subjectAccessReviewVersion: v1, matchConditionSubjectAccessReviewVersion: v1, failurePolicy: %s,
    authorizedTTL: 1m, unauthorizedTTL: 1m, cacheAuthorizedRequests: false, cacheUnauthorizedRequests: false,
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: %s}, matchConditions: [{expression: %q}]}}`, name, failurePolicy, s.config, condition)
}

func TestWebhookFile(t *testing.T) {
	s := newService(t)
	s.says(true, false, "")
	path := write(t, filepath.Join(t.TempDir(), "config"), configuration(
		s.authorizer("guests", "Deny", "request.user.startsWith('guest-')"),
		s.authorizer("others", "NoOpinion", "request.user == 'other'"), "{type: RBAC, name: rbac}"))
	c := newChain(t, Options{ConfigFile: path})
	ask(t, c, as("guest-1"), authorizer.DecisionAllow)
	ask(t, c, as("guest-1"), authorizer.DecisionAllow)
	if calls := s.calls.Load(); calls != 2 {
		t.Errorf("%d calls, want 2: nothing is to be cached", calls)
	}
	ask(t, c, as("jane"), authorizer.DecisionNoOpinion)
	if calls := s.calls.Load(); calls != 2 {
		t.Error("asked about a request that no condition matches")
	}
	s.answer.Store(nil)
	ask(t, c, as("guest-1"), authorizer.DecisionDeny)
	ask(t, c, as("other"), authorizer.DecisionNoOpinion)
}

// TestWebhookLies: what a webhook says late, or against itself, or of something
// else, is no permission.
func TestWebhookLies(t *testing.T) {
	var say atomic.Pointer[http.HandlerFunc]
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*say.Load())(w, r) }))
	defer server.Close()
	config := kubeconfigOf(t, server)
	hung := make(chan struct{})
	defer close(hung)
	text := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	const review = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",`
	for name, answer := range map[string]http.HandlerFunc{
		"garbage":           text("yes"),
		"another kind":      text(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","status":{"allowed":true}}`),
		"another version":   text(`{"apiVersion":"authorization.k8s.io/v7","kind":"SubjectAccessReview","status":{"allowed":true}}`),
		"yes and no":        text(review + `"status":{"allowed":true,"denied":true}}`),
		"allowed: \"true\"": text(review + `"status":{"allowed":"true"}}`),
		"a redirection":     http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound).ServeHTTP,
		"a refusal":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, review+`"status":{"allowed":true`)
		},
		"too late": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-hung:
			}
			_, _ = io.WriteString(w, review+`"status":{"allowed":true}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			say.Store(&answer)
			for policy, want := range map[string]authorizer.Decision{"Deny": authorizer.DecisionDeny, "NoOpinion": authorizer.DecisionNoOpinion} {
				if name == "yes and no" {
					want = authorizer.DecisionDeny
				}
				s := &service{config: config}
				c := newChain(t, Options{ConfigFile: write(t, filepath.Join(t.TempDir(), "config"),
					configuration(strings.Replace(s.authorizer("w", policy, "true"), "timeout: 1s", "timeout: 300ms", 1)))})
				ask(t, c, as("jane"), want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	s := newService(t)
	s.says(true, false, "")
	roles := "{type: RBAC, name: rbac}"
	path := write(t, filepath.Join(t.TempDir(), "config"), configuration(roles))
	c := newChain(t, Options{ConfigFile: path})
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	defer running.Wait()
	defer end()
	eventually := func(want authorizer.Decision, what string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if decision, _, _ := c.Authorize(t.Context(), as("jane")); decision == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	eventually(authorizer.DecisionNoOpinion, "the first configuration is not in force")
	write(t, path, configuration(s.authorizer("w", "Deny", "true"), roles))
	eventually(authorizer.DecisionAllow, "the changed configuration does not come into force")
	write(t, path, configuration(roles))
	eventually(authorizer.DecisionNoOpinion, "the webhook does not go away")
}

// TestReloadRefuses keeps what is in force.
func TestReloadRefuses(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config"), configuration("{type: AlwaysAllow, name: alwaysallow}"))
	c := newChain(t, Options{ConfigFile: path})
	for text, want := range map[string]string{
		"x": "failed to load AuthorizationConfiguration from file",
		configuration("{type: RBAC, name: rbac}"):                                                 "missing required types: [AlwaysAllow]",
		configuration("{type: AlwaysAllow, name: alwaysallow}", "{type: RBAC, name: rbac}"):       "authorizer type RBAC is not allowed if it was not enabled at initial server startup",
		configuration("{type: AlwaysAllow, name: alwaysallow}", "{type: Webhook, name: webhook}"): "webhook",
	} {
		write(t, path, text)
		if changed, err := c.reload(); changed || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v, want %q", text, changed, err, want)
		}
		if changed, err := c.reload(); changed || err != nil {
			t.Errorf("the same file again: %v %v", changed, err)
		}
	}
	ask(t, c, as("jane"), authorizer.DecisionAllow)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.reload(); err == nil {
		t.Error("no error for a file that is gone")
	}
}
