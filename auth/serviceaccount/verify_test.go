package serviceaccount

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
)

const builder = "system:serviceaccount:default:builder"

func TestWhoIsCalling(t *testing.T) {
	w := newWorld(t)
	pod := fields{"pod": fields{"name": "web", "uid": "pod"}, "node": fields{"name": "gone", "uid": "x"}}
	response, ok, err := w.AuthenticateToken(t.Context(), w.sign(w.claimsFor(pod)))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	u := response.User
	if u.GetName() != builder || u.GetUID() != "account" ||
		!slices.Equal(u.GetGroups(), []string{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}) {
		t.Errorf("%+v", u)
	}
	want := map[string][]string{
		"authentication.kubernetes.io/pod-name":      {"web"},
		"authentication.kubernetes.io/pod-uid":       {"pod"},
		"authentication.kubernetes.io/node-name":     {"gone"},
		"authentication.kubernetes.io/node-uid":      {"x"},
		"authentication.kubernetes.io/credential-id": {"JTI=id"},
	}
	if !maps.EqualFunc(u.GetExtra(), want, slices.Equal) {
		t.Errorf("extra %v", u.GetExtra())
	}
	if !slices.Equal(response.Audiences, []string{audience}) {
		t.Errorf("audiences %v", response.Audiences)
	}
}

// Every way to be refused that what the token says decides.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(fields)
		want   string
	}{
		"good":                  {func(fields) {}, builder},
		"of a former issuer":    {func(c fields) { c["iss"] = older }, builder},
		"of somebody else":      {func(c fields) { c["iss"] = "https://else.example.org" }, "somebody else's"},
		"of nobody":             {func(c fields) { delete(c, "iss") }, "somebody else's"},
		"expired":               {func(c fields) { c["exp"] = w.now.Unix() }, "service account token has expired"},
		"not yet valid":         {func(c fields) { c["nbf"] = w.now.Add(2 * time.Minute).Unix() }, "service account token is not valid yet"},
		"issued in the future":  {func(c fields) { c["iat"] = w.now.Add(2 * time.Minute).Unix() }, "service account token is issued in the future"},
		"by a clock ahead":      {func(c fields) { c["iat"] = w.now.Add(50 * time.Second).Unix() }, builder},
		"for one of several":    {func(c fields) { c["aud"] = []string{"x", audience} }, builder},
		"audience as a string":  {func(c fields) { c["aud"] = audience }, builder},
		"for another audience":  {func(c fields) { c["aud"] = []string{"x"} }, `token audiences ["x"] is invalid for the target audiences ["https://api.example.org"]`},
		"of an unknown account": {func(c fields) { account(c)["name"] = "nobody" }, `serviceaccounts "nobody" not found`},
		"of another namespace":  {func(c fields) { c["kubernetes.io"].(fields)["namespace"] = "x" }, `serviceaccounts "builder" not found`},
		"of a former account":   {func(c fields) { account(c)["uid"] = "former" }, "service account UID (account) does not match claim (former)"},
		"without an account":    {func(c fields) { delete(c, "kubernetes.io") }, `serviceaccounts "" not found`},
		"path in a name":        {func(c fields) { account(c)["name"] = "../default/builder" }, `serviceaccounts "../default/builder" not found`},
		"expiry as a word":      {func(c fields) { c["exp"] = "never" }, "invalid signature"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := w.claimsFor(nil)
			c.change(claims)
			token := w.sign(claims)
			for range 2 { // the second time the signature is known
				if got := w.ask(token); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func account(c fields) fields { return c["kubernetes.io"].(fields)["serviceaccount"].(fields) }

// Every way to be refused that the signature decides.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	ours := func(key crypto.PublicKey) string {
		k, err := NewKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	sign := func(method jwt.SigningMethod, header fields, key any) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims(w.claimsFor(nil)))
		for name, value := range header {
			token.Header[name] = value
		}
		signed, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	good := w.sign(w.claimsFor(nil))
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	encode := base64.RawURLEncoding.EncodeToString
	for name, c := range map[string]struct{ token, want string }{
		"RSA":                       {sign(jwt.SigningMethodRS256, fields{"kid": ours(rsaKey.Public())}, rsaKey), builder},
		"no key ID":                 {sign(jwt.SigningMethodRS256, nil, rsaKey), builder},
		"P-256":                     {sign(jwt.SigningMethodES256, fields{"kid": ours(p256Key.Public())}, p256Key), builder},
		"P-384, no key ID":          {sign(jwt.SigningMethodES384, nil, p384Key), builder},
		"a key that is not ours":    {sign(jwt.SigningMethodES512, nil, p521Key), "invalid signature"},
		"unknown key ID":            {sign(jwt.SigningMethodRS256, fields{"kid": "x"}, rsaKey), "invalid signature, no keys found"},
		"the ID of another key":     {sign(jwt.SigningMethodRS256, fields{"kid": ours(p256Key.Public())}, rsaKey), "invalid signature"},
		"key ID of another type":    {sign(jwt.SigningMethodRS256, fields{"kid": 7}, p256AsRSA), builder},
		"alg none":                  {sign(jwt.SigningMethodNone, nil, jwt.UnsafeAllowNoneSignatureType), "invalid signature"},
		"alg none, with our ID":     {sign(jwt.SigningMethodNone, fields{"kid": ours(rsaKey.Public())}, jwt.UnsafeAllowNoneSignatureType), "invalid signature"},
		"alg None, old signature":   {encode([]byte(`{"alg":"None"}`)) + "." + payload + "." + signature, "invalid signature"},
		"HMAC over the public key":  {sign(jwt.SigningMethodHS256, fields{"kid": ours(rsaKey.Public())}, publicPEM), "invalid signature"},
		"HMAC over its DER":         {sign(jwt.SigningMethodHS256, nil, der), "invalid signature"},
		"another hash":              {sign(jwt.SigningMethodRS512, nil, rsaKey), "invalid signature"},
		"PSS":                       {sign(jwt.SigningMethodPS256, nil, rsaKey), "invalid signature"},
		"critical header":           {sign(jwt.SigningMethodRS256, fields{"crit": []string{"b64"}, "b64": false}, rsaKey), "the token has critical header parameters, which are not supported"},
		"key in the header":         {sign(jwt.SigningMethodES512, fields{"jwk": must(newJSONWebKey(must(NewKey(p521Key.Public()))))}, p521Key), "invalid signature"},
		"no signature":              {head + "." + payload + ".", "invalid signature"},
		"payload of another token":  {head + "." + strings.Split(w.sign(fields{"iss": issuer}), ".")[1] + "." + signature, "invalid signature"},
		"header is not JSON":        {"e30x." + payload + "." + signature, "invalid signature"},
		"padding":                   {good + "=", "invalid signature"},
		"four parts":                {good + ".x", "invalid signature"},
		"two parts":                 {head + "." + payload, "somebody else's"},
		"nothing":                   {"", "somebody else's"},
		"dots":                      {"...", "somebody else's"},
		"a bootstrap token":         {"abcdef.0123456789abcdef", "somebody else's"},
		"half a mebibyte":           {good + strings.Repeat("x", 512<<10), "somebody else's"},
		"issuer said twice":         {head + "." + encode([]byte(`{"iss":"https://else.example.org","iss":"`+issuer+`"}`)) + "." + signature, "invalid signature"},
		"JSON in place of a token":  {`{"payload":"` + payload + `"}`, "somebody else's"},
		"the good one, not spoiled": {good, builder},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if got := w.ask(c.token); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
	if n := w.known.Len(); n != 6 {
		t.Errorf("%d tokens are remembered, want the good ones only", n)
	}
}

var p256AsRSA = rsaKey // a key ID that is not a string is none

// A token ends with what it is bound to, however often it was accepted before.
func TestBoundObjects(t *testing.T) {
	type step struct {
		key    string
		object message
		want   string
	}
	deleted := func(name, uid string, after time.Duration) metav1.ObjectMeta {
		m := meta(name, uid)
		m.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(after)}
		return m
	}
	toPod := fields{"pod": fields{"name": "web", "uid": "pod"}, "node": fields{"name": "n1", "uid": "node"}}
	for name, c := range map[string]struct {
		bindings fields
		steps    []step
	}{
		"account": {nil, []step{
			{"serviceaccounts/default/builder", &corev1.ServiceAccount{ObjectMeta: deleted("builder", "account", -30*time.Second)}, builder},
			{"serviceaccounts/default/builder", &corev1.ServiceAccount{ObjectMeta: deleted("builder", "account", -61*time.Second)}, "service account default/builder has been deleted"},
			{"serviceaccounts/default/builder", nil, `serviceaccounts "builder" not found`},
			{"serviceaccounts/default/builder", &corev1.ServiceAccount{ObjectMeta: meta("builder", "new")}, "service account UID (new) does not match claim (account)"},
		}},
		"pod": {toPod, []step{
			{"minions/n1", nil, builder}, // where the pod was, no more
			{"pods/default/web", &corev1.Pod{ObjectMeta: deleted("web", "pod", 30*time.Second)}, builder},
			{"pods/default/web", &corev1.Pod{ObjectMeta: deleted("web", "pod", -61*time.Second)}, "service account token has been invalidated"},
			{"pods/default/web", nil, "service account token has been invalidated"},
			{"pods/default/web", &corev1.Pod{ObjectMeta: meta("web", "new")}, "pod UID (new) does not match service account pod ref claim (pod)"},
		}},
		"secret": {fields{"secret": fields{"name": "kept", "uid": "secret"}}, []step{
			{"secrets/default/kept", nil, "service account token has been invalidated"},
			{"secrets/default/kept", &corev1.Secret{ObjectMeta: meta("kept", "new")}, "secret UID (new) does not match service account secret ref claim (secret)"},
		}},
		"node": {fields{"node": fields{"name": "n1", "uid": "node"}}, []step{
			{"minions/n1", &corev1.Node{ObjectMeta: deleted("n1", "node", -61*time.Second)}, "service account token has been invalidated"},
			{"minions/n1", &corev1.Node{ObjectMeta: meta("n1", "new")}, "node UID (new) does not match service account node ref claim (node)"},
		}},
		"pod of a dead account": {toPod, []step{
			{"serviceaccounts/default/builder", nil, `serviceaccounts "builder" not found`},
		}},
		"webhook": {fields{"validatingwebhookconfiguration": fields{"name": "a", "uid": "b"}}, []step{
			{"minions/n1", nil, `feature gate "APIServerWebhookAuthenticationToken" is disabled, but token is webhook bound`},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			token := w.sign(w.claimsFor(c.bindings))
			if got := w.ask(token); got != builder && name != "webhook" {
				t.Fatalf("at first: %q", got)
			}
			for _, s := range c.steps {
				w.put(s.key, s.object)
				if got := w.ask(token); got != s.want {
					t.Errorf("after %s became %v: got %q, want %q", s.key, s.object != nil, got, s.want)
				}
			}
		})
	}
}

// A token that was accepted a moment ago is refused the moment it expires.
func TestExpiryOfAKnownToken(t *testing.T) {
	w := newWorld(t)
	claims := w.claimsFor(nil)
	token := w.sign(claims)
	for _, s := range []struct {
		at   time.Duration
		want string
	}{{0, builder}, {59*time.Minute + 59*time.Second, builder}, {time.Hour, "service account token has expired"}} {
		w.now = time.Unix(claims["iat"].(int64), 0).Add(s.at)
		if got := w.ask(token); got != s.want {
			t.Errorf("after %v: %q", s.at, got)
		}
	}
}

// Who reviews a token for other audiences is told of those that it is for.
func TestReviewedAudiences(t *testing.T) {
	w := newWorld(t)
	claims := w.claimsFor(nil)
	claims["aud"] = []string{"vault", audience}
	token := w.sign(claims)
	ctx := authenticator.WithAudiences(t.Context(), authenticator.Audiences{"vault", "x"})
	response, ok, err := w.AuthenticateToken(ctx, token)
	if err != nil || !ok || !slices.Equal(response.Audiences, []string{"vault"}) {
		t.Errorf("%v %v %v", response, ok, err)
	}
	if _, ok, err := w.AuthenticateToken(authenticator.WithAudiences(t.Context(), authenticator.Audiences{"x"}), token); ok || err == nil {
		t.Error("accepted for an audience that it is not for")
	}
}

func TestCacheIsAskedBeforeTheDatabase(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.claimsFor(nil))
	for range 3 {
		w.ask(token)
	}
	if w.syncs.Load() != 0 {
		t.Errorf("the database was asked %d times for a good token", w.syncs.Load())
	}
	w.put("serviceaccounts/default/builder", nil)
	w.ask(token)
	if w.syncs.Load() != 1 {
		t.Errorf("the database was asked %d times for a token of an unknown account, want once", w.syncs.Load())
	}
}

func TestExtendedTokens(t *testing.T) {
	w := newWorld(t)
	claims := w.claimsFor(fields{"warnafter": w.now.Add(time.Minute).Unix()})
	token := w.sign(claims)
	if got := w.ask(token); got != builder {
		t.Fatal(got)
	}
	w.now = w.now.Add(2 * time.Minute)
	if got := w.ask(token); got != builder {
		t.Fatal(got)
	}
	if fresh, stale := value(t, w.Metrics.freshTokens), value(t, w.Metrics.staleTokens); fresh != 1 || stale != 1 {
		t.Errorf("%v fresh, %v stale", fresh, stale)
	}
}
