package rbac

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

// TestFollow shows that what is written to the store decides soon after, and
// that what can't be read decides nothing.
func TestFollow(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	driver, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), log)
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	store, err := storage.New(storage.Options{Driver: driver, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	plain := func(_ string, stored []byte, _ int64) (*storage.Object, error) {
		return storage.Plain(stored), nil
	}
	collections := Collections{
		Roles: store.Register("/registry/roles/", plain), RoleBindings: store.Register("/registry/rolebindings/", plain),
		ClusterRoles: store.Register("/registry/clusterroles/", plain), ClusterRoleBindings: store.Register("/registry/clusterrolebindings/", plain),
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer store.Stop(context.Background())
	revisions := map[string]int64{}
	write := func(key string, o interface{ Marshal() ([]byte, error) }) {
		t.Helper()
		var value []byte
		if o != nil {
			if value, err = o.Marshal(); err != nil {
				t.Fatal(err)
			}
		}
		revision, err := store.Write(t.Context(), storage.Write{Key: key, Value: value, Expect: revisions[key]})
		if err != nil {
			t.Fatal(err)
		}
		if revisions[key] = revision; o == nil {
			delete(revisions, key)
		}
	}

	write("/registry/clusterroles/before", &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "before"}, Rules: oneRule("get", "pods"),
		AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}},
	})
	write("/registry/clusterrolebindings/before", &rbacv1.ClusterRoleBinding{RoleRef: clusterRole("before"), Subjects: toUser("jane")})
	e := NewEngine()
	run := e.Follow(collections, log)
	if !e.allows(get("jane", "", "pods")) {
		t.Error("what was there at the start does not count")
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	eventually := func(a authorizer.Attributes, want bool, what string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); e.allows(a) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	write("/registry/roles/a/secrets", &rbacv1.Role{Rules: oneRule("get", "secrets")})
	write("/registry/rolebindings/a/secrets", &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "secrets"}, Subjects: toUser("joe")})
	eventually(get("joe", "a", "secrets"), true, "a new role and binding don't count")
	write("/registry/clusterroles/before", broken{})
	eventually(get("jane", "", "pods"), false, "a role that can't be read still counts")
	write("/registry/rolebindings/a/secrets", nil)
	eventually(get("joe", "a", "secrets"), false, "a deleted binding still counts")

	// Who waits for a write sees it decide.
	for i := range 200 {
		var changed interface{ Marshal() ([]byte, error) }
		if i%2 == 0 {
			changed = &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "secrets"}, Subjects: toUser("joe")}
		}
		write("/registry/rolebindings/a/waited", changed)
		if err := e.Wait(t.Context(), store.Revision()); err != nil {
			t.Fatal(err)
		}
		if got := e.allows(get("joe", "a", "secrets")); got != (changed != nil) {
			t.Fatalf("after write %d: allowed is %v", i, got)
		}
	}

	// What changed while nobody followed counts when somebody does again.
	end()
	<-ended
	write("/registry/rolebindings/a/secrets", &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "secrets"}, Subjects: toUser("jim")})
	write("/registry/clusterrolebindings/before", nil)
	e.Follow(collections, log)
	if !e.allows(get("jim", "a", "secrets")) || e.allows(get("joe", "a", "secrets")) {
		t.Error("the policy is not the stored one")
	}
}

// broken is what no role looks like.
type broken struct{}

func (broken) Marshal() ([]byte, error) { return []byte{0xff}, nil }
