package serviceaccount

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

const (
	issuer   = "https://issuer.example.org"
	older    = "https://older.example.org"
	audience = "https://api.example.org"
)

// world is a store with objects, and a verifier that reads them.
type world struct {
	*Verifier
	t     testing.TB
	store *storage.Store
	now   time.Time
	used  []string
	syncs atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	driver, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	store, err := storage.New(storage.Options{Driver: driver, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: store, now: time.Now()}
	register := func(resource string) *storage.Collection {
		return store.Register("/registry/"+resource+"/", func(_ string, stored []byte, _ int64) (*storage.Object, error) {
			if len(stored) == 0 {
				return nil, fs.ErrInvalid
			}
			return storage.Plain(stored), nil
		})
	}
	objects := &Objects{
		Accounts: NewAccounts(register("serviceaccounts")),
		Pods:     NewSource(register("pods")),
		Secrets:  NewSecrets(register("secrets")),
		Nodes:    NewSource(register("minions")),
		Sync: func(ctx context.Context) error {
			w.syncs.Add(1)
			_, err := store.Sync(ctx)
			return err
		},
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Stop(context.Background()) })
	keys, err := NewKeys(rsaKey, p256Key.Public(), p384Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = NewVerifier(Config{
		Issuers: []string{issuer, older}, Keys: keys, Audiences: authenticator.Audiences{audience},
		Objects: objects, Lookup: true, Now: func() time.Time { return w.now },
		Used: func(_ context.Context, secret *corev1.Secret, day string) {
			w.used = append(w.used, secret.Name+" "+day)
		},
	})
	w.put("serviceaccounts/default/builder", &corev1.ServiceAccount{ObjectMeta: meta("builder", "account")})
	w.put("pods/default/web", &corev1.Pod{ObjectMeta: meta("web", "pod")})
	w.put("secrets/default/kept", &corev1.Secret{ObjectMeta: meta("kept", "secret")})
	w.put("minions/n1", &corev1.Node{ObjectMeta: meta("n1", "node")})
	return w
}

func meta(name, uid string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: types.UID(uid)}
}

type message interface{ Marshal() ([]byte, error) }

// put writes an object; nil deletes it.
func (w *world) put(key string, object message) {
	w.t.Helper()
	key = "/registry/" + key
	write := storage.Write{Key: key, Expect: w.revision(key)}
	if object != nil {
		var err error
		if write.Value, err = object.Marshal(); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, err := w.store.Write(w.t.Context(), write); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) revision(key string) int64 {
	for _, source := range []*Source{w.Objects.Accounts, w.Objects.Pods, w.Objects.Secrets, w.Objects.Nodes} {
		if o, _ := source.collection.Get(key); o != nil {
			return o.Revision
		}
	}
	return 0
}

type fields = map[string]any

// claimsFor are those of a good token; change what is to be wrong.
func (w *world) claimsFor(bindings fields) fields {
	k := fields{"namespace": "default", "serviceaccount": fields{"name": "builder", "uid": "account"}}
	for name, value := range bindings {
		k[name] = value
	}
	return fields{
		"iss": issuer, "sub": "system:serviceaccount:default:builder", "aud": []string{audience}, "jti": "id",
		"iat": w.now.Unix(), "nbf": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix(),
		"kubernetes.io": k,
	}
}

func (w *world) sign(claims fields) string {
	w.t.Helper()
	token, err := w.Keys.Sign(claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// ask returns the user's name, or why there is none.
func (w *world) ask(token string) string {
	response, ok, err := w.AuthenticateToken(w.t.Context(), token)
	switch {
	case err != nil && ok:
		w.t.Errorf("both accepted and refused: %v", err)
		fallthrough
	case err != nil:
		return err.Error()
	case !ok:
		return "somebody else's"
	}
	return response.User.GetName()
}

var (
	rsaKey  = must(rsa.GenerateKey(rand.Reader, 2048))
	p256Key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384Key = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521Key = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
