package configuration

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/howdah/howdah/auth/oidc/oidctest"
)

// soon is far longer than anything here takes.
const soon = 30 * time.Second

// log collects what was logged.
type log struct {
	t     *testing.T
	lines chan string
}

func newLog(t *testing.T) (*slog.Logger, *log) {
	l := &log{t: t, lines: make(chan string, 1000)}
	return slog.New(slog.NewTextHandler(l, nil)), l
}

func (l *log) Write(p []byte) (int, error) {
	l.lines <- string(p)
	return len(p), nil
}

// seen waits for a line.
func (l *log) seen(want string) {
	l.t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, want) {
				return
			}
		case <-timeout:
			l.t.Fatalf("nothing was logged with %q", want)
		}
	}
}

// jwt is one entry of a file.
func jwt(issuer *oidctest.Issuer, more string) string {
	return fmt.Sprintf(`- issuer:
    url: %s
    certificateAuthority: |
      %s
    audiences: [us]
  claimMappings:
    username: {claim: sub, prefix: ""}
%s`, issuer.URL, strings.ReplaceAll(strings.TrimSpace(issuer.CA), "\n", "\n      "), more)
}

func file(entries ...string) string {
	return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n" + strings.Join(entries, "")
}

func replace(t *testing.T, name, data string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, tokens *Tokens, token string) string {
	t.Helper()
	response, ok, err := tokens.AuthenticateToken(t.Context(), token)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return "unknown"
	}
	return response.User.GetName() + " " + strings.Join(response.User.GetGroups(), ",")
}

// found waits until the current issuers are.
func found(t *testing.T, tokens *Tokens) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := tokens.Discovered(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFileAndReload(t *testing.T) {
	one, two := oidctest.New(t), oidctest.New(t)
	name := filepath.Join(t.TempDir(), "authentication.yaml")
	replace(t, name, file(jwt(one, ""), jwt(two, `
  userValidationRules: [{expression: "!user.username.startsWith('system:')", message: reserved}]
`)))
	logger, log := newLog(t)
	const reloads = "apiserver_authentication_config_controller_automatic_reloads_total"
	before := metric(t, reloads) // of all tests
	tokens, err := New(Config{Options: Options{File: name}, ServerID: "test", Logger: logger, Audiences: authenticator.Audiences{"api"}})
	if err != nil {
		t.Fatal(err)
	}
	tokens.Start()
	t.Cleanup(tokens.Stop)
	found(t, tokens)
	claims := map[string]any{"sub": "system:jane", "aud": "us", "groups": []string{"a"}}
	ofOne, ofTwo := one.Token(claims), two.Token(claims)
	if got := ask(t, tokens, ofOne); got != "system:jane " {
		t.Errorf("a token of the first issuer: %s", got)
	}
	if got := ask(t, tokens, ofTwo); !strings.Contains(got, "failed: reserved") {
		t.Errorf("a token of the second issuer: %s", got)
	}
	if got := ask(t, tokens, "no JWT"); got != "unknown" {
		t.Errorf("another token: %s", got)
	}
	// The tokens are for this API, whatever their own audience is.
	limited := authenticator.WithAudiences(t.Context(), authenticator.Audiences{"api", "else"})
	response, ok, err := tokens.AuthenticateToken(limited, ofOne)
	if !ok || err != nil || !cmp.Equal(response.Audiences, authenticator.Audiences{"api"}) {
		t.Errorf("asked for audiences: %v, %t, %v", response, ok, err)
	}

	// The first issuer goes, the other changes.
	withGroups := file(jwt(two, "    groups: {claim: groups, prefix: 'two:'}\n"))
	replace(t, name, withGroups)
	log.seen("reloaded")
	if got := ask(t, tokens, ofTwo); got != "system:jane two:a" {
		t.Errorf("a token of the second issuer: %s", got)
	}
	if got := ask(t, tokens, ofOne); got != "unknown" {
		t.Errorf("a token of the issuer that was removed: %s", got)
	}
	// What is wrong changes nothing.
	for want, data := range map[string]string{
		"empty config data":            "",
		"unknown field":                withGroups + "nonsense: 1\n",
		"at least one":                 strings.Replace(withGroups, "[us]", "[]", 1),
		"changed from initial":         withGroups + "anonymous: {enabled: true}\n",
		"compilation failed":           file(jwt(two, "    uid: {expression: 'claims.'}\n")),
		"egress lookup required":       strings.Replace(withGroups, "audiences:", "egressSelectorType: cluster\n    audiences:", 1),
		"no kind":                      "apiVersion: apiserver.config.k8s.io/v9\nkind: AuthenticationConfiguration\n",
		"Duplicate value":              file(jwt(two, ""), jwt(two, "")),
		"mapping values are not allow": "a: b: c",
	} {
		replace(t, name, data)
		log.seen(want)
		if got := ask(t, tokens, ofTwo); got != "system:jane two:a" {
			t.Errorf("after a file with %s: %s", want, got)
		}
	}
	counts := metric(t, reloads)
	if counts["success"]-before["success"] != 1 || counts["failure"]-before["failure"] < 9 {
		t.Errorf("reloads are counted as %v after %v", counts, before)
	}
	replace(t, name, file())
	log.seen("reloaded")
	if got := ask(t, tokens, ofTwo); got != "unknown" {
		t.Errorf("no issuers: %s", got)
	}
}

// metric sums a counter by its label status.
func metric(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "status" {
					sums[label.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sums
}

// TestReplacedWhileInUse: a request that waits for an issuer when this is
// replaced gets its answer; a reload whose issuer is down waits.
func TestReplacedWhileInUse(t *testing.T) {
	one, two := oidctest.New(t), oidctest.New(t)
	name := filepath.Join(t.TempDir(), "authentication.yaml")
	replace(t, name, file(jwt(one, "")))
	logger, log := newLog(t)
	tokens, err := New(Config{Options: Options{File: name}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	tokens.Start()
	t.Cleanup(tokens.Stop)
	found(t, tokens)

	entered, leave := make(chan struct{}), make(chan struct{})
	one.Answer(oidctest.Keys, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		oidctest.JSON(w, oidctest.KeySet(one.Key()))
	})
	asked, release := make(chan struct{}), make(chan struct{})
	two.Answer(oidctest.Discovery, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		oidctest.JSON(w, two.Document())
	})
	answer := make(chan string, 1)
	token := one.Token(map[string]any{"sub": "jane", "aud": "us"})
	go func() { answer <- ask(t, tokens, token) }()
	<-entered
	replace(t, name, file(jwt(two, "")))
	<-asked // the new issuer hangs: the old one stays in force
	if got := ask(t, tokens, two.Token(map[string]any{"sub": "joe", "aud": "us"})); got != "unknown" {
		t.Errorf("a token of an issuer that is not found: %s", got)
	}
	close(release)
	log.seen("reloaded")
	if got := ask(t, tokens, two.Token(map[string]any{"sub": "joe", "aud": "us"})); got != "joe " {
		t.Errorf("a token of the new issuer: %s", got)
	}
	close(leave)
	if got := <-answer; got != "jane " {
		t.Errorf("the request under way got %s", got)
	}
	if got := ask(t, tokens, token); got != "unknown" {
		t.Errorf("the same token afterwards: %s", got)
	}
	tokens.Stop()
	tokens.Stop()
}

func TestFlags(t *testing.T) {
	issuer := oidctest.New(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte(issuer.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"sub": "jane", "aud": "us", "email": "jane@example.org", "groups": []string{"a"}, "hd": "x"}
	for want, flags := range map[string]OIDC{
		issuer.URL + "#jane ":        {UsernameClaim: "sub"},
		"jane ":                      {UsernameClaim: "sub", UsernamePrefix: "-"},
		"x:jane ":                    {UsernameClaim: "sub", UsernamePrefix: "x:"},
		"jane@example.org a":         {UsernameClaim: "email", GroupsClaim: "groups"},
		"x:jane@example.org g:a":     {UsernameClaim: "email", UsernamePrefix: "x:", GroupsClaim: "groups", GroupsPrefix: "g:", RequiredClaims: map[string]string{"hd": "x"}},
		"required claim hd value":    {UsernameClaim: "sub", RequiredClaims: map[string]string{"hd": "y"}},
		"unexpected signature algor": {UsernameClaim: "sub", SigningAlgs: []string{"ES256"}},
	} {
		flags.Set, flags.IssuerURL, flags.ClientID, flags.CAFile = true, issuer.URL, "us", ca
		tokens, err := New(Config{Options: Options{OIDC: flags}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		tokens.Start()
		found(t, tokens)
		if got := ask(t, tokens, issuer.Token(claims)); !strings.Contains(got, want) || strings.HasPrefix(got, "jane") && got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		tokens.Stop()
	}
}

func TestOptionErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) string {
		name = filepath.Join(dir, name)
		replace(t, name, data)
		return name
	}
	head := "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n"
	for want, o := range map[string]Options{
		"authentication-config file and oidc-* flags are mutually exclusive":                          {File: "x", OIDC: OIDC{Set: true}},
		"oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set": {OIDC: OIDC{Set: true, IssuerURL: "https://x"}},
		"URL scheme must be https":                              {OIDC: OIDC{Set: true, IssuerURL: "http://x", ClientID: "us", UsernameClaim: "sub"}},
		`unsupported signing alg: "HS256"`:                      {OIDC: OIDC{Set: true, IssuerURL: "https://x", ClientID: "us", UsernameClaim: "sub", SigningAlgs: []string{"HS256"}}},
		"read --oidc-ca-file":                                   {OIDC: OIDC{Set: true, IssuerURL: "https://x", ClientID: "us", CAFile: filepath.Join(dir, "none")}},
		"failed to load authentication configuration from file": {File: filepath.Join(dir, "none")},
		"--anonymous-auth flag cannot be set when anonymous field is configured in authentication configurat": {File: write("anonymous", head+"anonymous: {enabled: false}\n"), AnonymousFlag: true},
		"enabled should be set to true when conditions are defined":                                           {File: write("conditions", head+"anonymous: {enabled: false, conditions: [{path: /healthz}]}\n")},
		"URL must not overlap with disallowed issuers":                                                        {File: write("ours", head+"jwt: [{issuer: {url: 'https://ours', audiences: [us]}, claimMappings: {username: {claim: sub, prefix: ''}}}]\n")},
		"expected AuthenticationConfiguration, got":                                                           {File: write("kind", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n")},
	} {
		_, err := New(Config{Options: o, DisallowedIssuers: []string{"https://ours"}, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	tokens, err := New(Config{Options: Options{File: write("paths", head+"anonymous: {enabled: true, conditions: [{path: /healthz}, {path: /livez}]}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if a := tokens.Anonymous(); !a.Enabled || len(a.Conditions) != 2 || a.Conditions[1].Path != "/livez" {
		t.Errorf("anonymous is %+v", a)
	}
	tokens.Stop() // never started
}

// FuzzDecode: whatever is in the file, a configuration or an error.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(file("- issuer: {url: 'https://x', audiences: [us]}\n")))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if configuration, err := decode(data); (configuration == nil) == (err == nil) {
			t.Errorf("%v, %v", configuration, err)
		}
	})
}
