package serviceaccount

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	tokenjwt "k8s.io/apiserver/pkg/authentication/token/jwt"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/lru"
)

// remembered is of how many tokens the signature check is remembered; about 2 KiB
// each.
const remembered = 16 << 10

// maxToken bounds the tokens that are looked at, in bytes; ours have about a
// thousand.
const maxToken = 64 << 10

// Config is what a [Verifier] works with.
type Config struct {
	Issuers   []string
	Keys      *Keys
	Audiences authenticator.Audiences // of this API: what tokens must be meant for
	Objects   *Objects
	// Lookup has tokens of secrets end with their secret. Those of TokenRequests
	// always end with what they are bound to.
	Lookup bool
	// Used notes the day on which a secret's token was used; nil: nobody does.
	Used    LastUsed
	Metrics *Metrics
	Now     func() time.Time // time.Now
}

// A Verifier says whose token it is.
type Verifier struct {
	Config
	parser *jwt.Parser
	known  *lru.Cache // *token by the SHA-256 of its text
}

var _ authenticator.Token = (*Verifier)(nil)

// NewVerifier returns a verifier for tokens of the issuers and of secrets.
func NewVerifier(c Config) *Verifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	return &Verifier{
		Config: c,
		parser: jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding()), // inTime validates
		known:  lru.New(remembered),
	}
}

// token is what is known of a token for good.
type token struct {
	claims
	isLegacy bool
	user     *user.DefaultInfo // of a TokenRequest's token
}

// AuthenticateToken implements [authenticator.Token]. A token of somebody else
// is no error.
func (v *Verifier) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	t, err := v.read(text)
	if t == nil {
		return nil, false, err
	}
	audiences, err := v.audiences(ctx, t)
	if err != nil {
		return nil, false, err
	}
	if t.isLegacy {
		return v.authenticateLegacy(ctx, t, text, audiences)
	}
	now := v.Now()
	if err := t.inTime(now); err != nil {
		return nil, false, err
	}
	if err := v.Objects.check(ctx, func() error { return v.bound(t, now) }); err != nil {
		return nil, false, err
	}
	v.noteAge(ctx, t, now)
	return &authenticator.Response{User: t.user, Audiences: audiences}, true, nil
}

// read checks the signature of a token, or remembers that it did. It returns nil
// for one of somebody else.
func (v *Verifier) read(text string) (*token, error) {
	if len(text) > maxToken {
		return nil, nil
	}
	hash := digest(text)
	if t, ok := v.known.Get(hash); ok {
		v.Metrics.known()
		return t.(*token), nil
	}
	issuer, ok := issuerOf(text)
	if !ok || issuer != LegacyIssuer && !slices.Contains(v.Issuers, issuer) {
		return nil, nil
	}
	t := &token{isLegacy: issuer == LegacyIssuer}
	if err := v.checkSignature(text, t); err != nil {
		return nil, err
	}
	if t.Issuer != issuer { // what was read before the check is worth nothing
		return nil, fmt.Errorf("token issuer %q is invalid", t.Issuer)
	}
	if t.isLegacy {
		if err := t.checkLegacy(); err != nil {
			return nil, err
		}
		info := serviceaccount.ServiceAccountInfo{Namespace: t.LegacyNamespace, Name: t.LegacyName, UID: t.LegacyUID}
		t.user = info.UserInfo().(*user.DefaultInfo)
	} else {
		t.user = t.userInfo()
	}
	t.user.Groups = append(t.user.Groups, user.AllAuthenticated)
	v.Metrics.verified()
	v.known.Add(hash, t)
	return t, nil
}

// digest is the SHA-256 of a token. Those of usual size are not copied to the heap.
func digest(text string) [sha256.Size]byte {
	var room [2 << 10]byte
	return sha256.Sum256(append(room[:0], text...))
}

func (v *Verifier) checkSignature(text string, t *token) error {
	var refused error
	_, err := v.parser.ParseWithClaims(text, &t.claims, func(parsed *jwt.Token) (any, error) {
		id, _ := parsed.Header["kid"].(string)
		keys := v.Keys.byID(id)
		if len(keys) == 0 {
			refused = errors.New("invalid signature, no keys found")
			return nil, refused
		}
		if _, ok := parsed.Header["crit"]; ok {
			refused = errors.New("the token has critical header parameters, which are not supported")
			return nil, refused
		}
		var fitting jwt.VerificationKeySet
		for _, key := range keys {
			// The key, never the token, says how it is checked.
			if key.method.Alg() == parsed.Method.Alg() {
				fitting.Keys = append(fitting.Keys, key.Public)
			}
		}
		return fitting, nil
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return errors.New("invalid signature") // the parser's words may quote the token
	}
	return nil
}

func (t *token) userInfo() *user.DefaultInfo {
	b := &t.Kubernetes
	info := serviceaccount.ServiceAccountInfo{
		Namespace: b.Namespace, Name: b.Account.Name, UID: b.Account.UID,
		CredentialID: tokenjwt.CredentialIDForJTI(t.ID),
	}
	if b.Pod != nil {
		info.PodName, info.PodUID = b.Pod.Name, b.Pod.UID
	}
	if b.Node != nil {
		info.NodeName, info.NodeUID = b.Node.Name, b.Node.UID
	}
	return info.UserInfo().(*user.DefaultInfo)
}

// audiences are those that the token and the asker have in common.
func (v *Verifier) audiences(ctx context.Context, t *token) (authenticator.Audiences, error) {
	theirs := authenticator.Audiences(t.Audience)
	if len(theirs) == 0 {
		theirs = v.Audiences
		audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token", t.Subject)
		v.Metrics.legacy()
	}
	asked, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		asked = v.Audiences
	}
	if slices.Equal(theirs, asked) { // almost always
		return theirs, nil
	}
	common := theirs.Intersect(asked)
	if len(common) == 0 && len(v.Audiences) > 0 {
		return nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", theirs, asked)
	}
	return common, nil
}

// noteAge tells of clients that don't read their token again when it is renewed.
func (v *Verifier) noteAge(ctx context.Context, t *token, now time.Time) {
	after := t.Kubernetes.WarnAfter
	if after == nil || after.IsZero() || after.Unix() == 0 {
		return
	}
	if !now.After(after.Time) {
		v.Metrics.fresh()
		return
	}
	audit.AddAuditAnnotation(ctx, "authentication.k8s.io/stale-token",
		fmt.Sprintf("subject: %s, seconds after warning threshold: %d", t.Subject, now.Unix()-after.Unix()))
	v.Metrics.stale()
}
