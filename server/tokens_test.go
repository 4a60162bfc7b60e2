package server

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/serviceaccount"
	"github.com/howdah/howdah/storage/storagetest"
)

func adminClient(t *testing.T, s *Server) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(adminConfig(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// whoAmI asks the server who it takes the holder of a token for. The error is
// that of the request.
func whoAmI(t *testing.T, s *Server, token string) (authenticationv1.UserInfo, error) {
	t.Helper()
	config := rest.AnonymousClientConfig(adminConfig(t, s))
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

func expectWho(t *testing.T, s *Server, token, want string) {
	t.Helper()
	who, err := whoAmI(t, s, token)
	if want == "" && !apierrors.IsUnauthorized(err) || want != "" && (err != nil || who.Username != want) {
		t.Errorf("got %q and %v, want %q", who.Username, err, want)
	}
}

func requestToken(t *testing.T, client kubernetes.Interface, account string, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	request, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

func claimsOf(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func makeAccount(t *testing.T, client kubernetes.Interface, name string) *corev1.ServiceAccount {
	t.Helper()
	account, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func TestServiceAccountTokens(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	client := adminClient(t, s)
	account := makeAccount(t, client, "builder")

	token := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{})
	who, err := whoAmI(t, s, token)
	if err != nil {
		t.Fatal(err)
	}
	if who.Username != "system:serviceaccount:default:builder" || who.UID != string(account.UID) ||
		!slices.Equal(who.Groups, []string{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}) ||
		!strings.HasPrefix(who.Extra["authentication.kubernetes.io/credential-id"][0], "JTI=") {
		t.Errorf("%+v", who)
	}
	claims := claimsOf(t, token)
	if claims["iss"] != serviceaccount.DefaultIssuer || fmt.Sprint(claims["aud"]) != "["+serviceaccount.DefaultIssuer+"]" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
		t.Errorf("%v", claims)
	}

	// A token for others is not for us.
	expectWho(t, s, requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}), "")

	// Bound to a pod: it ends with the pod, and knows it.
	pod, err := client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.PodSpec{ServiceAccountName: "builder", Containers: []corev1.Container{{Name: "a", Image: "b"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	toPod := &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "web", UID: pod.UID}
	extended := int64(serviceaccount.WarnAfter / time.Second)
	podToken := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{BoundObjectRef: toPod, ExpirationSeconds: &extended})
	if who, err := whoAmI(t, s, podToken); err != nil || who.Extra["authentication.kubernetes.io/pod-uid"][0] != string(pod.UID) {
		t.Errorf("%+v %v", who, err)
	}
	if claims := claimsOf(t, podToken); claims["exp"].(float64)-claims["iat"].(float64) != (365*24*time.Hour).Seconds() ||
		claims["kubernetes.io"].(map[string]any)["warnafter"].(float64)-claims["iat"].(float64) != float64(extended) {
		t.Errorf("a mounted token is not extended: %v", claims)
	}
	makeAccount(t, client, "other")
	_, err = client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "other", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: toPod}}, metav1.CreateOptions{})
	if !apierrors.IsBadRequest(err) {
		t.Errorf("a token of one account was bound to a pod of another: %v", err)
	}
	now := int64(0)
	if err := client.CoreV1().Pods("default").Delete(t.Context(), "web", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, podToken, "")

	// Of a former account of the same name.
	if err := client.CoreV1().ServiceAccounts("default").Delete(t.Context(), "builder", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, token, "")
	makeAccount(t, client, "builder")
	expectWho(t, s, token, "")
	expectWho(t, s, requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{}), "system:serviceaccount:default:builder")
}

// What others are told lets them check a token without us.
func TestOpenIDDocuments(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	client := adminClient(t, s)
	makeAccount(t, client, "builder")
	token := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})

	get := func(path string) []byte {
		body, err := client.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).Raw()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	var configuration struct {
		Issuer string `json:"issuer"`
		URI    string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(get("/.well-known/openid-configuration"), &configuration); err != nil {
		t.Fatal(err)
	}
	if configuration.Issuer != serviceaccount.DefaultIssuer || configuration.URI != fmt.Sprintf("https://%s:%d/openid/v1/jwks", s.options.AdvertiseAddress, s.Port()) {
		t.Errorf("%+v", configuration)
	}
	keys := get("/openid/v1/jwks")
	header, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	if id := header.Header["kid"].(string); !bytes.Contains(keys, []byte(`"kid":"`+id+`"`)) {
		t.Errorf("%s has not the key %s", keys, id)
	}
	if paths := string(get("/")); !strings.Contains(paths, "/openid/v1/jwks") {
		t.Error("the index does not list the keys")
	}
}

func TestTokenReviews(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	client := adminClient(t, s)
	makeAccount(t, client, "builder")
	forVault := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
	for name, c := range map[string]struct {
		spec      authenticationv1.TokenReviewSpec
		want      string
		audiences []string
	}{
		"for its audience":     {authenticationv1.TokenReviewSpec{Token: forVault, Audiences: []string{"vault", "x"}}, "system:serviceaccount:default:builder", []string{"vault"}},
		"for another audience": {authenticationv1.TokenReviewSpec{Token: forVault, Audiences: []string{"x"}}, "", nil},
		"for us":               {authenticationv1.TokenReviewSpec{Token: forVault}, "", nil},
		"of nobody":            {authenticationv1.TokenReviewSpec{Token: "x"}, "", nil},
	} {
		review, err := client.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: c.spec}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		status := review.Status
		if status.Authenticated != (c.want != "") || status.User.Username != c.want || !slices.Equal(status.Audiences, c.audiences) {
			t.Errorf("%s: %+v", name, status)
		}
		if c.want == "" && (status.Error == "" || strings.Contains(status.Error, c.spec.Token) && c.spec.Token != "x") {
			t.Errorf("%s: error %q", name, status.Error)
		}
	}
}

func TestOtherTokens(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(file, []byte("letmein,ada,17,\"engineers\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: dir, Authentication: auth.Options{TokenFile: file, BootstrapTokens: true}})
	client := adminClient(t, s)
	expectWho(t, s, "letmein", "ada")
	expectWho(t, s, "letmein2", "")

	expectWho(t, s, "abcdef.0123456789abcdef", "")
	_, err := client.CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-abcdef"}, Type: "bootstrap.kubernetes.io/token",
		StringData: map[string]string{"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, "abcdef.0123456789abcdef", "system:bootstrap:abcdef")
	if err := client.CoreV1().Secrets("kube-system").Delete(t.Context(), "bootstrap-token-abcdef", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, "abcdef.0123456789abcdef", "")
}

// A secret's token works while the secret has it, and the secret tells when it
// was last used.
func TestLegacyTokens(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	client := adminClient(t, s)
	account := makeAccount(t, client, "builder")
	token, err := s.api.authentication.keys.Sign(map[string]string{
		"sub":                                    "system:serviceaccount:default:builder",
		"kubernetes.io/serviceaccount/namespace": "default",
		"kubernetes.io/serviceaccount/secret.name":          "kept",
		"kubernetes.io/serviceaccount/service-account.name": "builder",
		"kubernetes.io/serviceaccount/service-account.uid":  string(account.UID),
	}, serviceaccount.IssuedBy(serviceaccount.LegacyIssuer))
	if err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, token, "")
	secrets := client.CoreV1().Secrets("default")
	if _, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "kept", Annotations: map[string]string{corev1.ServiceAccountNameKey: "builder"}},
		Type:       corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"token": []byte(token)},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, token, "system:serviceaccount:default:builder")
	kept, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || kept.Labels[serviceaccount.LastUsedLabel] != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("labels %v (%v)", kept.Labels, err)
	}
	if err := secrets.Delete(t.Context(), "kept", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, s, token, "")
}

// Two servers of one database sign with one key, and a token that one of them
// gave is good at the other at once.
func TestTokensOfTwoServers(t *testing.T) {
	database := storagetest.Postgres(t)
	one := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	two := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	client := adminClient(t, one)
	for i := range 20 {
		name := fmt.Sprintf("builder-%d", i)
		makeAccount(t, client, name)
		expectWho(t, two, requestToken(t, client, name, authenticationv1.TokenRequestSpec{}), "system:serviceaccount:default:"+name)
	}
}

// A token ends at one server with what was deleted through the other.
func TestTokenEndsAtBothServers(t *testing.T) {
	database := storagetest.Postgres(t)
	one := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	two := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: database})
	client := adminClient(t, one)
	account := makeAccount(t, client, "builder")
	token := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{})
	expectWho(t, two, token, "system:serviceaccount:default:builder")

	watch, err := adminClient(t, two).CoreV1().ServiceAccounts("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: account.ResourceVersion, FieldSelector: "metadata.name=builder"})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if err := client.CoreV1().ServiceAccounts("default").Delete(t.Context(), "builder", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expectWho(t, one, token, "")
	<-watch.ResultChan()
	expectWho(t, two, token, "")
	makeAccount(t, client, "builder")
	expectWho(t, two, token, "")
}

// The steps of docs/security.md for a new key: tokens of the old one are good
// until it is left out.
func TestRotateTokenKey(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	client := adminClient(t, s)
	makeAccount(t, client, "builder")
	const builder = "system:serviceaccount:default:builder"
	before := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{})
	stop(t, s)

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	made, old := filepath.Join(dir, "new.key"), filepath.Join(dir, "pki", "sa.key")
	if err := os.WriteFile(made, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for _, step := range []struct {
		signs    string
		accepts  []string
		accepted bool // what the first key signed
	}{{old, []string{made}, true}, {made, []string{old}, true}, {made, nil, false}} {
		s := start(t, Options{DataDir: dir, Authentication: auth.Options{ServiceAccounts: serviceaccount.Options{SigningKeyFile: step.signs, KeyFiles: step.accepts}}})
		want := builder
		if !step.accepted {
			want = ""
		}
		expectWho(t, s, before, want)
		token := requestToken(t, adminClient(t, s), "builder", authenticationv1.TokenRequestSpec{})
		expectWho(t, s, token, builder)
		tokens = append(tokens, strings.Split(token, ".")[0])
		stop(t, s)
	}
	if first := strings.Split(before, ".")[0]; tokens[0] != first || tokens[1] == first || tokens[2] != tokens[1] {
		t.Error("tokens are not signed with the key that the step says")
	}
}

// Who calls is counted, under upstream's names.
func TestAuthenticationMetrics(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	client := adminClient(t, s)
	makeAccount(t, client, "builder")
	token := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{})
	expectWho(t, s, token, "system:serviceaccount:default:builder")
	expectWho(t, s, token, "system:serviceaccount:default:builder")
	expectWho(t, s, "x", "")
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`authentication_attempts{result="error"} 1`, `authentication_attempts{result="success"} `,
		`authenticated_user_requests{username="other"} `, `authentication_duration_seconds_count{result="success"} `,
		`apiserver_client_certificate_expiration_seconds_count `, `serviceaccount_legacy_tokens_total 0`,
		`howdah_service_account_token_signatures_total{status="hit"} 1`, `howdah_service_account_token_signatures_total{status="miss"} 1`,
	} {
		if !bytes.Contains(text, []byte("\n"+line)) {
			t.Errorf("missing %s", line)
		}
	}
}

// No token, good or bad, and no secret gets into the log, a metric or an event.
func TestNothingSecretIsTold(t *testing.T) {
	var log lockedBuffer
	s, err := New(Options{DataDir: t.TempDir(), BindAddress: net.IPv4(127, 0, 0, 1), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	client := adminClient(t, s)
	makeAccount(t, client, "builder")
	token := requestToken(t, client, "builder", authenticationv1.TokenRequestSpec{})
	whoAmI(t, s, token)
	whoAmI(t, s, token+"x")
	whoAmI(t, s, "secretsecret")
	secrets := client.CoreV1().Secrets("default")
	for _, secret := range []*corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Name: "good"}, StringData: map[string]string{"p": password}},
		{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Type: corev1.SecretTypeTLS, StringData: map[string]string{"p": password}},
		{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: password}},
	} {
		if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); (err == nil) != (secret.Name == "good") || err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("secret %s: %v", secret.Name, err)
		}
	}
	text := log.String()
	if !strings.Contains(text, "unable to authenticate the request") {
		t.Error("a refusal is not logged")
	}
	metrics, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events, err := client.CoreV1().RESTClient().Get().AbsPath("/api/v1/events").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	for _, part := range append(strings.Split(token, "."), "secretsecret", password, encoded, "PRIVATE KEY") {
		for where, text := range map[string]string{"log": text, "metrics": string(metrics), "events": string(events)} {
			if strings.Contains(text, part) {
				t.Errorf("%q is in the %s", part, where)
			}
		}
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// askRaw sends a request as it is, which client-go would not, with a client
// certificate or none, and returns who the server says it came from, or the
// status.
func askRaw(t *testing.T, client *http.Client, s *Server, header http.Header) string {
	t.Helper()
	url := fmt.Sprintf("https://127.0.0.1:%d/apis/authentication.k8s.io/v1/selfsubjectreviews", s.Port())
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Sprint(response.StatusCode)
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	u := review.Status.UserInfo
	return strings.TrimSpace(fmt.Sprint(u.Username, " ", u.UID, " ", strings.Join(u.Groups, ",")))
}
