package webhook

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// service is a webhook over HTTPS; it returns its kubeconfig.
func service(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"webhook": {Server: server.URL + "/review",
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"us": {}},
		Contexts:       map[string]*clientcmdapi.Context{"webhook": {Cluster: "webhook", AuthInfo: "us"}},
		CurrentContext: "webhook",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// reviewer knows the token "jane's", for the audience "api".
func reviewer(version string, calls *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.APIVersion != "authentication.k8s.io/"+version {
			http.Error(w, "not a review", http.StatusBadRequest)
			return
		}
		switch review.Spec.Token {
		case "jane's":
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{"api"}, User: authenticationv1.UserInfo{
				Username: "jane", UID: "7", Groups: []string{"a"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}}
		case "broken":
			review.Status.Error = "no such realm"
		}
		review.Spec = authenticationv1.TokenReviewSpec{}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}
}

func TestTokens(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		t.Run(version, func(t *testing.T) {
			var calls atomic.Int64
			tokens, err := New(Options{ConfigFile: service(t, reviewer(version, &calls)), Version: version, CacheTTL: time.Hour}, authenticator.Audiences{"api"})
			if err != nil {
				t.Fatal(err)
			}
			ctx := authenticator.WithAudiences(t.Context(), authenticator.Audiences{"api", "more"})
			for range 3 {
				response, ok, err := tokens.AuthenticateToken(ctx, "jane's")
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				u := response.User
				if u.GetName() != "jane" || u.GetUID() != "7" || !cmp.Equal(u.GetGroups(), []string{"a"}) || !cmp.Equal(u.GetExtra(), map[string][]string{"k": {"v"}}) ||
					!cmp.Equal(response.Audiences, authenticator.Audiences{"api"}) {
					t.Errorf("%+v for %v", u, response.Audiences)
				}
				if _, ok, err := tokens.AuthenticateToken(ctx, "joe's"); ok || err != nil {
					t.Errorf("an unknown token: %t, %v", ok, err)
				}
			}
			if n := calls.Load(); n != 2 {
				t.Errorf("%d calls for 2 tokens: yes and no must both be remembered", n)
			}
			if _, ok, err := tokens.AuthenticateToken(authenticator.WithAudiences(t.Context(), authenticator.Audiences{"other"}), "jane's"); ok || err != nil {
				t.Errorf("a token for others: %t, %v", ok, err)
			}
			if _, ok, err := tokens.AuthenticateToken(ctx, "broken"); ok || err == nil || err.Error() != "no such realm" {
				t.Errorf("an error of the service: %t, %v", ok, err)
			}
		})
	}
}

// TestLies are services that must not let anybody in.
func TestLies(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") },
		"other": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Pod"}`)
		},
		"array": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) },
		"other version": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"apiVersion":"authentication.k8s.io/v7","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"root"}}}`)
		},
		"other kind": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","status":{"authenticated":true,"user":{"username":"root"}}}`)
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true`)
		},
		"not authenticated": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":"yes","user":{"username":"root"}}}`)
		},
		"forbidden": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"redirect":  http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound).ServeHTTP,
	} {
		t.Run(name, func(t *testing.T) {
			tokens, err := New(Options{ConfigFile: service(t, answer), Version: "v1"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, ok, err := tokens.AuthenticateToken(t.Context(), "secret-token")
			if ok || err == nil {
				t.Fatalf("%t, %v", ok, err)
			}
			if strings.Contains(err.Error(), "secret-token") {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

// TestLateAnswer: who does not get an answer in time is nobody; the service is
// not asked again for what it is about to say.
func TestLateAnswer(t *testing.T) {
	var calls atomic.Int64
	asked, speak := make(chan struct{}, 1), make(chan struct{})
	answer := reviewer("v1", &calls)
	tokens, err := New(Options{ConfigFile: service(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-speak
		answer(w, r)
	}), Version: "v1", CacheTTL: time.Hour}, authenticator.Audiences{"api"})
	if err != nil {
		t.Fatal(err)
	}
	speaks := sync.OnceFunc(func() { close(speak) })
	defer speaks()
	hasty, giveUp := context.WithCancel(t.Context())
	go func() {
		<-asked
		giveUp()
	}()
	if response, ok, err := tokens.AuthenticateToken(hasty, "jane's"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("without an answer: %v, %t, %v", response, ok, err)
	}
	speaks()
	if response, ok, err := tokens.AuthenticateToken(t.Context(), "jane's"); !ok || err != nil || response.User.GetName() != "jane" {
		t.Errorf("with the answer: %v, %t, %v", response, ok, err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the service was asked %d times", n)
	}
}

func TestOptionErrors(t *testing.T) {
	var calls atomic.Int64
	good := service(t, reviewer("v1", &calls))
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"unsupported authentication webhook version": {ConfigFile: good, Version: "v2"},
		"no such file": {ConfigFile: filepath.Join(t.TempDir(), "none"), Version: "v1"},
		"--authentication-token-webhook-config-file": {ConfigFile: bad, Version: "v1"},
	} {
		if _, err := New(o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
