package server

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/oidc/oidctest"
	"github.com/howdah/howdah/auth/webhook"
)

// bearer is a client with a token and nothing else.
func bearer(t *testing.T, s *Server, token string) *kubernetes.Clientset {
	t.Helper()
	config := rest.AnonymousClientConfig(adminConfig(t, s))
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestIssuersOfFile: a server starts while an issuer is down, lets its users in
// once it is found, does what the file says of anonymous requests, and tells of
// it in the metrics.
func TestIssuersOfFile(t *testing.T) {
	issuer := oidctest.New(t)
	issuer.Answer(oidctest.Discovery, http.NotFound)
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous: {enabled: true, conditions: [{path: /livez}]}
jwt:
- issuer: {url: %q, audiences: [us], certificateAuthority: %q}
  claimMappings:
    username: {expression: "'x:' + claims.sub"}
    groups: {claim: groups, prefix: 'x:'}
    extra: [{key: example.org/team, valueExpression: claims.team}]
`, issuer.URL, issuer.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: t.TempDir(), TokenIssuers: configuration.Options{File: file}})
	token := issuer.Token(map[string]any{"sub": "jane", "aud": "us", "groups": []string{"a"}, "team": "blue", "jti": "7"})
	if _, err := whoAmI(t, s, token); !apierrors.IsUnauthorized(err) {
		t.Errorf("while the issuer is down: %v", err)
	}
	issuer.Answer(oidctest.Discovery, nil)
	var jane authenticationv1.UserInfo
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		var err error
		jane, err = whoAmI(t, s, token)
		return err == nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	if jane.Username != "x:jane" || strings.Join(jane.Groups, " ") != "x:a system:authenticated" ||
		jane.Extra["example.org/team"][0] != "blue" || jane.Extra["authentication.kubernetes.io/credential-id"][0] != "JTI=7" {
		t.Errorf("jane is %+v", jane)
	}
	if _, err := bearer(t, s, token).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "x:jane" cannot list resource "secrets"`) {
		t.Errorf("jane lists secrets: %v", err)
	}
	if _, err := whoAmI(t, s, issuer.Token(map[string]any{"sub": "jane", "aud": "them"})); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token for others: %v", err)
	}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusUnauthorized, "/version": http.StatusUnauthorized} {
		var status int
		bearer(t, s, "").RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&status)
		if status != want {
			t.Errorf("anonymous %s: %d, want %d", path, status, want)
		}
	}
	scrape, err := adminClient(t, s).CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"apiserver_authentication_config_controller_last_config_info{", "apiserver_authentication_jwt_authenticator_latency_seconds_count{",
		"apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info{",
	} {
		if !strings.Contains(string(scrape), want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// TestTokenWebhookHangs: a webhook that does not answer keeps nobody out but the
// holders of tokens that only it knows, and those for no longer than a request
// may take. What it says lets nobody do what no role says.
func TestTokenWebhookHangs(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		switch review.Spec.Token {
		case "slow":
			<-stuck
		case "nameless":
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true}
		}
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer hook.Close()
	defer close(stuck)
	config := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: hook.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})}},
		Contexts: map[string]*clientcmdapi.Context{"c": {Cluster: "c"}}, CurrentContext: "c",
	}, config); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: t.TempDir(), RequestTimeout: 5 * time.Second, TokenWebhook: webhook.Options{ConfigFile: config, Version: "v1"}})
	root := adminClient(t, s)
	makeAccount(t, root, "builder")
	token := requestToken(t, root, "builder", authenticationv1.TokenRequestSpec{})
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() { expectWho(t, s, "slow", "") })
	}
	for range 20 {
		expectWho(t, s, token, "system:serviceaccount:default:builder")
		expectWho(t, s, "unknown", "")
	}
	waiting.Wait() // their time is over before the webhook answers

	who, err := whoAmI(t, s, "nameless")
	if err != nil || who.Username != "" || strings.Join(who.Groups, " ") != "system:authenticated" {
		t.Errorf("whom the webhook has no name for is %+v: %v", who, err)
	}
	if _, err := bearer(t, s, "nameless").CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("and lists config maps: %v", err)
	}
}
