package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/auth/configuration"
	"github.com/howdah/howdah/auth/oidc/oidctest"
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
