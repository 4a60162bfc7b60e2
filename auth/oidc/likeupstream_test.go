package oidc

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	upstream "k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"github.com/howdah/howdah/auth/oidc/oidctest"
)

// differential asks us and kube-apiserver's authenticator the same.
type differential struct {
	ours     *Authenticator
	upstream upstream.AuthenticatorTokenWithHealthCheck
}

func compared(t *testing.T, config apiserver.JWTAuthenticator) *differential {
	t.Helper()
	ca, err := dynamiccertificates.NewStaticCAContent("issuer", []byte(config.Issuer.CertificateAuthority))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := upstream.New(t.Context(), upstream.Options{
		JWTAuthenticator: config, CAContentProvider: ca, Compiler: compiler, SupportedSigningAlgs: upstream.AllValidSigningAlgorithms(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &differential{upstream: theirs, ours: ready(t, Options{Authenticator: config, SigningAlgorithms: SigningAlgorithms()})}
	// Upstream only lets itself be asked.
	if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, soon, true, d.upstreamReady); err != nil {
		t.Fatal(err)
	}
	return d
}

// check compares the answers and returns ours in one line.
func (d *differential) check(t *testing.T, token string) string {
	t.Helper()
	ours, ok, err := d.ours.AuthenticateToken(t.Context(), token)
	theirs, theirOK, theirErr := d.upstream.AuthenticateToken(t.Context(), token)
	if ok != theirOK || text(err) != text(theirErr) {
		t.Errorf("we answer %t, %v; upstream %t, %v", ok, err, theirOK, theirErr)
	}
	if !ok || !theirOK {
		return text(err)
	}
	if diff := cmp.Diff(theirs.User.(*user.DefaultInfo), ours.User.(*user.DefaultInfo)); diff != "" {
		t.Error("upstream's user and ours:", diff)
	}
	u := ours.User
	extra := maps.Clone(u.GetExtra())
	return fmt.Sprint(u.GetName(), " ", u.GetUID(), " ", u.GetGroups(), " ", extra)
}

// text leaves out what versions of libraries word differently.
func text(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, library := range []string{"oidc: verify token: ", "verify distributed claim token: ", "failed to unmarshal claims: ", "such key: "} {
		if before, _, found := strings.Cut(text, library); found {
			return before + library
		}
	}
	return text
}

func TestMappingLikeUpstream(t *testing.T) {
	issuer := oidctest.New(t)
	prefixed := func(claim, prefix string) apiserver.PrefixedClaimOrExpression {
		return apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: &prefix}
	}
	expression := func(text string) apiserver.PrefixedClaimOrExpression {
		return apiserver.PrefixedClaimOrExpression{Expression: text}
	}
	subject := prefixed("sub", "")
	type tokens []map[string]any
	for name, c := range map[string]struct {
		mappings apiserver.ClaimMappings
		rules    []apiserver.ClaimValidationRule
		users    []apiserver.UserValidationRule
		tokens   tokens
		want     []string // for some, from the first on
	}{
		"flags' default prefix": {
			mappings: apiserver.ClaimMappings{Username: prefixed("sub", "https://issuer#"), Groups: prefixed("groups", "oidc:")},
			tokens: tokens{
				{"sub": "jane", "groups": []string{"a", "b"}},
				{"sub": "system:admin", "groups": "system:masters"},
				{"sub": "jane", "groups": []string{}},
				{"sub": "jane", "groups": nil},
				{"sub": "jane", "groups": []any{"a", 1}},
				{"sub": "jane", "groups": map[string]any{"a": "b"}},
				{"sub": "", "groups": ""},
				{"sub": 1},
			},
			want: []string{"https://issuer#jane  [oidc:a oidc:b] map[]", "https://issuer#system:admin  [oidc:system:masters] map[]"},
		},
		"no prefix": { // as upstream, system: names are the configuration's to refuse
			mappings: apiserver.ClaimMappings{Username: subject, Groups: prefixed("groups", "")},
			tokens:   tokens{{"sub": "system:admin", "groups": "system:masters"}, {"sub": "jane", "jti": "id-1"}, {"sub": "jane", "jti": 1}, {"sub": "jane", "jti": ""}},
			want:     []string{"system:admin  [system:masters] map[]", "jane  [] map[authentication.kubernetes.io/credential-id:[JTI=id-1]]"},
		},
		"system: refused by a rule": {
			mappings: apiserver.ClaimMappings{Username: subject, Groups: prefixed("groups", "")},
			users: []apiserver.UserValidationRule{
				{Expression: "!user.username.startsWith('system:')", Message: "username cannot use reserved system: prefix"},
				{Expression: "user.groups.all(group, !group.startsWith('system:'))", Message: "groups cannot used reserved system: prefix"},
				{Expression: "!has(user.extra.none) && user.uid == ''"},
			},
			tokens: tokens{{"sub": "jane", "groups": "a"}, {"sub": "system:admin"}, {"sub": "jane", "groups": []string{"a", "system:masters"}}, {"sub": "jane"}},
			want: []string{"jane  [a] map[]",
				"oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith('system:')' failed: username cannot use reserved system: prefix",
				"oidc: error evaluating user info validation rule: validation expression 'user.groups.all(group, !group.startsWith('system:'))' failed: groups cannot used reserved system: prefix"},
		},
		"email": {
			mappings: apiserver.ClaimMappings{Username: prefixed("email", "")},
			tokens: tokens{
				{"email": "jane@example.org", "email_verified": true}, {"email": "jane@example.org", "email_verified": false},
				{"email": "jane@example.org"}, {"email": "jane@example.org", "email_verified": "true"}, {"email_verified": true},
			},
			want: []string{"jane@example.org  [] map[]", "oidc: email not verified"},
		},
		"required claims": {
			mappings: apiserver.ClaimMappings{Username: subject},
			rules:    []apiserver.ClaimValidationRule{{Claim: "hd", RequiredValue: "example.org"}},
			tokens:   tokens{{"sub": "jane", "hd": "example.org"}, {"sub": "jane", "hd": "example.com"}, {"sub": "jane"}, {"sub": "jane", "hd": []string{"example.org"}}},
			want: []string{"jane  [] map[]", "oidc: required claim hd value does not match. Got = example.com, want = example.org",
				"oidc: required claim hd not present in ID token"},
		},
		"expressions": {
			mappings: apiserver.ClaimMappings{
				Username: expression("'x:' + claims.sub"), Groups: expression("claims.roles.split(',') + ['']"),
				UID: apiserver.ClaimOrExpression{Expression: "claims.uid"},
				Extra: []apiserver.ExtraMapping{
					{Key: "example.org/one", ValueExpression: "claims.one"}, {Key: "example.org/many", ValueExpression: "claims.many"},
					{Key: "example.org/none", ValueExpression: "''"},
				},
			},
			tokens: tokens{
				{"sub": "jane", "roles": "a,,b", "uid": "1", "one": "1", "many": []string{"a", "", "b"}},
				{"sub": "jane", "roles": "", "uid": "", "one": "", "many": []string{}},
				{"sub": "jane", "roles": "a", "uid": 1, "one": "1", "many": []string{"a"}},
				{"sub": "jane", "roles": "a", "uid": "1", "one": 1, "many": []string{"a"}},
				{"sub": "jane", "roles": "a", "uid": "1", "one": "1", "many": []any{"a", 1}},
				{"sub": "jane", "roles": []string{"a"}, "uid": "1", "one": "1", "many": []string{"a"}},
				{"sub": "jane", "roles": "a", "uid": "1", "many": []string{"a"}, "jti": "token"},
				{"sub": 7, "roles": "a", "uid": "1", "one": "1", "many": nil},
			},
			want: []string{"x:jane 1 [a b] map[example.org/many:[a b] example.org/one:[1]]"},
		},
		"whatever groups": {
			mappings: apiserver.ClaimMappings{Username: subject, Groups: expression("claims.?groups.orValue(null)")},
			tokens: tokens{{"sub": "jane"}, {"sub": "jane", "groups": "a"}, {"sub": "jane", "groups": []string{"a"}}, {"sub": "jane", "groups": []any{}},
				{"sub": "jane", "groups": []any{[]string{"a"}}}, {"sub": "jane", "groups": 1}, {"sub": "jane", "groups": map[string]string{"a": "b"}}},
		},
		"computed groups": {
			mappings: apiserver.ClaimMappings{Username: subject, Groups: expression("dyn(claims.groups).map(g, 'x:' + g) + ['y']")},
			tokens:   tokens{{"sub": "jane", "groups": []string{"a", "b"}}, {"sub": "jane", "groups": []any{}}, {"sub": "jane", "groups": "a"}},
		},
		"empty name": {
			mappings: apiserver.ClaimMappings{Username: expression("claims.name")},
			tokens:   tokens{{"name": ""}, {"name": nil}, {"name": 1}, {"name": []string{"jane"}}},
			want:     []string{"oidc: empty username via CEL expression is not allowed"},
		},
		"escaped and nested names": {
			mappings: apiserver.ClaimMappings{
				Username: expression("claims.example__dot__org.in__dash__side[0].the__slash__name"),
				Groups:   expression("claims['kubernetes.io'].groups"),
				UID:      apiserver.ClaimOrExpression{Expression: "has(claims.example__dot__org.uid) ? claims.example__dot__org.uid : 'none'"},
			},
			tokens: tokens{
				{"example.org": map[string]any{"in-side": []any{map[string]any{"the/name": "jane"}}}, "kubernetes.io": map[string]any{"groups": "a"}},
				{"example.org": map[string]any{"uid": "7", "in-side": []any{map[string]any{"the/name": "jane"}}}, "kubernetes.io": map[string]any{"groups": "a"}},
				{"example.org": map[string]any{"in-side": []any{}}, "kubernetes.io": map[string]any{"groups": "a"}},
				{"example__dot__org": map[string]any{"in-side": []any{map[string]any{"the/name": "jane"}}}},
			},
			want: []string{"jane none [a] map[]", "jane 7 [a] map[]"},
		},
		"claim rules": {
			mappings: apiserver.ClaimMappings{Username: subject},
			rules: []apiserver.ClaimValidationRule{
				{Expression: "claims.exp - claims.nbf <= 86400", Message: "total token lifetime must not exceed 24 hours"},
				{Expression: "!has(claims.admin) && !has(claims.root)"},
			},
			tokens: tokens{
				{"sub": "jane", "nbf": time.Now().Unix()}, {"sub": "jane", "nbf": time.Now().Add(-72 * time.Hour).Unix()}, {"sub": "jane"},
				{"sub": "jane", "nbf": time.Now().Unix(), "admin": true}, {"sub": "jane", "nbf": time.Now().Unix(), "root": nil},
			},
		},
		"email of an expression": {
			mappings: apiserver.ClaimMappings{Username: expression("claims.email")},
			rules:    []apiserver.ClaimValidationRule{{Expression: "claims.?email_verified.orValue(true) == true", Message: "email not verified"}},
			tokens:   tokens{{"email": "jane@example.org", "email_verified": true}, {"email": "jane@example.org", "email_verified": false}, {"email": "jane@example.org"}},
			want:     []string{"jane@example.org  [] map[]", "oidc: error evaluating claim validation expression: validation expression 'claims.?email_verified.orValue(true) == true' failed: email not verified"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := of(issuer)
			config.ClaimMappings, config.ClaimValidationRules, config.UserValidationRules = c.mappings, c.rules, c.users
			d := compared(t, config)
			for i, claims := range c.tokens {
				claims["aud"] = "us"
				got := d.check(t, issuer.Token(claims))
				if i < len(c.want) && got != c.want[i] {
					t.Errorf("token %d: got %q, want %q", i, got, c.want[i])
				}
			}
		})
	}
}

func TestDistributedClaimsLikeUpstream(t *testing.T) {
	issuer, other := oidctest.New(t), oidctest.New(t)
	config := of(issuer)
	config.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: "groups", Prefix: new(string)}
	d := compared(t, config)
	answer := func(token string) {
		other.Answer("/groups", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer access" {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, token)
		})
	}
	from := func(sources map[string]any) string {
		return issuer.Token(map[string]any{"sub": "jane", "aud": "us", "_claim_names": map[string]any{"groups": "src"}, "_claim_sources": sources})
	}
	remote := from(map[string]any{"src": map[string]any{"endpoint": other.URL + "/groups", "access_token": "access"}})
	good := other.Token(map[string]any{"aud": "us", "groups": []string{"a", "b"}})
	answer(good)
	// Upstream refuses the first token of an issuer that it has yet to discover; we wait.
	if got := accepted(t, d.ours, remote, "jane").GetGroups(); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("groups %v", got)
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, soon, true, d.upstreamAccepts(remote)); err != nil {
		t.Fatal(err)
	}
	discoveries := other.Asked(oidctest.Discovery)
	for name, token := range map[string]string{
		"groups":       good,
		"one group":    other.Token(map[string]any{"aud": "us", "groups": "a"}),
		"none":         other.Token(map[string]any{"aud": "us"}),
		"for others":   other.Token(map[string]any{"aud": "them", "groups": "a"}),
		"expired":      other.Token(map[string]any{"aud": "us", "groups": "a", "exp": 1}),
		"forged":       other.TokenBy(other.NewKey("RS256"), map[string]any{"aud": "us", "groups": "a"}),
		"not signed":   strings.Join(strings.Split(good, ".")[:2], "."),
		"nothing":      "",
		"of our users": issuer.Token(map[string]any{"aud": "us", "groups": "a"}),
	} {
		t.Run(name, func(t *testing.T) {
			answer(token)
			if name == "of our users" {
				if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, soon, true, d.upstreamAccepts(remote)); err != nil {
					t.Fatal(err)
				}
			}
			if got := d.check(t, remote); name == "groups" && got != "jane  [a b] map[]" {
				t.Error(got)
			}
		})
	}
	answer(good)
	for name, token := range map[string]string{
		"a plain claim wins": issuer.Token(map[string]any{"sub": "jane", "aud": "us", "groups": "plain", "_claim_names": map[string]any{"groups": "src"}, "_claim_sources": map[string]any{"src": map[string]any{}}}),
		"another claim":      issuer.Token(map[string]any{"sub": "jane", "aud": "us", "_claim_names": map[string]any{"roles": "src"}, "_claim_sources": map[string]any{"src": map[string]any{"endpoint": other.URL}}}),
		"aggregated":         from(map[string]any{"src": map[string]any{"JWT": good}}),
		"no such source":     from(map[string]any{"else": map[string]any{"endpoint": other.URL}}),
		"no sources":         issuer.Token(map[string]any{"sub": "jane", "aud": "us", "_claim_names": map[string]any{"groups": "src"}}),
		"names no object":    issuer.Token(map[string]any{"sub": "jane", "aud": "us", "_claim_names": "groups"}),
		"no access token":    from(map[string]any{"src": map[string]any{"endpoint": other.URL + "/groups"}}),
		"not found":          from(map[string]any{"src": map[string]any{"endpoint": other.URL + "/nothing"}}),
		"no URL":             from(map[string]any{"src": map[string]any{"endpoint": "::"}}),
	} {
		t.Run(name, func(t *testing.T) { d.check(t, token) })
	}
	if n := other.Asked(oidctest.Discovery); n != discoveries {
		t.Errorf("the source's issuer was discovered %d times more", n-discoveries)
	}
	refused(t, d.ours, from(map[string]any{"src": map[string]any{"endpoint": "http" + strings.TrimPrefix(other.URL, "https") + "/groups"}}), "only https")
}

func (d *differential) upstreamReady(ctx context.Context) (bool, error) {
	return d.upstream.HealthCheck() == nil, nil
}

func (d *differential) upstreamAccepts(token string) wait.ConditionWithContextFunc {
	return func(ctx context.Context) (bool, error) {
		_, ok, _ := d.upstream.AuthenticateToken(ctx, token)
		return ok, nil
	}
}
