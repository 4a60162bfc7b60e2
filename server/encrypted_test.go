package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/server/encryption/kmstest"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/sqlite"
	"github.com/howdah/howdah/storage/storagetest"
)

// The password and the keys of the authority may be nowhere on disk.
const password = "correct-horse-battery-staple"

func encryptionFile(t *testing.T, path string, providers ...string) string {
	t.Helper()
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - " +
		strings.Join(providers, "\n  - ") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	gcmOne = "aesgcm: {keys: [{name: one, secret: c2VjcmV0IGlzIHNlY3VyZSwgb3IgaXMgaXQ/ISEhISE=}]}"
	cbcTwo = "aescbc: {keys: [{name: two, secret: dGhpcyBpcyBhbm90aGVyIHBhc3N3b3JkLCBmaW5lISE=}]}"
	plain  = "identity: {}"
)

func clientOf(t *testing.T, s *Server) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(adminConfig(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// writeSecret leaves the password in every place that the store has: live,
// replaced and deleted.
func writeSecret(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	secrets := client.CoreV1().Secrets("default")
	for _, name := range []string{"kept", "replaced", "deleted"} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"password": password}}
		if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	replaced := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "replaced"}}
	if _, err := secrets.Update(t.Context(), replaced, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Delete(t.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// checkFiles looks for the password, and for a private key, in all files below a
// directory.
func checkFiles(t *testing.T, dir string, spared ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		for _, suffix := range spared {
			if strings.HasSuffix(path, suffix) {
				return nil
			}
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		checkPlain(t, path, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkPlain(t *testing.T, where string, content []byte) {
	t.Helper()
	for _, text := range []string{password, "PRIVATE KEY"} {
		if bytes.Contains(content, []byte(text)) || bytes.Contains(content, []byte(hex.EncodeToString([]byte(text)))) {
			t.Errorf("%s has %q", where, text)
		}
	}
}

func TestSecretsOnSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir, Encryption: EncryptionOptions{
		ProviderConfig: encryptionFile(t, filepath.Join(t.TempDir(), "encryption.yaml"), gcmOne),
	}})
	writeSecret(t, clientOf(t, s))
	checkFiles(t, dir, ".key", ".pem", ".kubeconfig")
	stop(t, s)
	checkFiles(t, dir, ".key", ".pem", ".kubeconfig")
}

func TestSecretsOnPostgres(t *testing.T) {
	t.Parallel()
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	plugin := kmstest.Start(t)
	endpoint := server.Store()
	s := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: endpoint, Encryption: EncryptionOptions{
		ProviderConfig: encryptionFile(t, filepath.Join(t.TempDir(), "encryption.yaml"),
			"kms: {apiVersion: v2, name: vault, endpoint: '"+plugin.Endpoint+"'}"),
	}})
	client := clientOf(t, s)
	writeSecret(t, client)
	dump, err := server.Dump()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(dump, []byte(hex.EncodeToString([]byte("k8s:enc:kms:v2:vault:")))) {
		t.Error("the dump has no encrypted value")
	}
	checkPlain(t, "the dump", dump)
	checkFiles(t, server.Dir())
	if body, err := client.CoreV1().RESTClient().Get().AbsPath("/readyz/kms-providers").DoRaw(t.Context()); err != nil || string(body) != "ok" {
		t.Errorf("/readyz/kms-providers answers %q: %v", body, err)
	}
	if _, err := client.CoreV1().RESTClient().Get().AbsPath("/livez/kms-providers").DoRaw(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("/livez/kms-providers answers %v", err)
	}

	// A second server of the cluster, with a seed of its own.
	second := start(t, Options{DataDir: t.TempDir(), DatastoreEndpoint: endpoint, Encryption: s.options.Encryption})
	got, err := clientOf(t, second).CoreV1().Secrets("default").Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || string(got.Data["password"]) != password {
		t.Errorf("the second server reads %v: %v", got, err)
	}
}

// stored opens the database of a stopped server and returns how a value is kept.
func stored(t *testing.T, dir, key string) string {
	t.Helper()
	d, err := sqlite.Open(t.Context(), filepath.Join(dir, "howdah.db"), storagetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := d.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Value)
}

// TestKeyRotation is the operator's way from no encryption to one key, to
// another, and back: with each step objects are replaced by themselves.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	const key = "/registry/secrets/default/kept"
	s := start(t, Options{DataDir: dir})
	writeSecret(t, clientOf(t, s))
	stop(t, s)
	for _, step := range []struct {
		providers []string
		want      string
	}{
		{[]string{gcmOne, plain}, "k8s:enc:aesgcm:v1:one:"},
		{[]string{cbcTwo, gcmOne}, "k8s:enc:aescbc:v1:two:"},
		{[]string{plain, cbcTwo}, "k8s\x00"},
	} {
		s := start(t, Options{DataDir: dir, Encryption: EncryptionOptions{ProviderConfig: encryptionFile(t, file, step.providers...)}})
		secrets := clientOf(t, s).CoreV1().Secrets("default")
		before, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
		if err != nil || string(before.Data["password"]) != password {
			t.Fatalf("%s: %v %v", step.want, before, err)
		}
		after, err := secrets.Update(t.Context(), before, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		again, err := secrets.Update(t.Context(), after, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if after.ResourceVersion == before.ResourceVersion || again.ResourceVersion != after.ResourceVersion {
			t.Errorf("%s: revisions %s, %s, %s", step.want, before.ResourceVersion, after.ResourceVersion, again.ResourceVersion)
		}
		stop(t, s)
		if got := stored(t, dir, key); !strings.HasPrefix(got, step.want) {
			t.Errorf("kept as %q, want %q", got, step.want)
		}
	}
}

// TestLostKey: what can't be decrypted answers upstream's errors, touches nothing
// else, and can be deleted as upstream allows.
func TestLostKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	options := Options{DataDir: dir, Encryption: EncryptionOptions{ProviderConfig: file}}
	encryptionFile(t, file, gcmOne)
	s := start(t, options)
	writeSecret(t, clientOf(t, s))
	stop(t, s)

	encryptionFile(t, file, cbcTwo)
	s = start(t, options)
	client := clientOf(t, s)
	secrets := client.CoreV1().Secrets("default")
	const lost = "StorageError: corrupt object, Code: 7, Key: /secrets/default/kept, ResourceVersion: 0, AdditionalErrorMsg: data from the storage is not transformable revision=0: no matching prefix found"
	_, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
	if !apierrors.IsInternalError(err) || err.Error() != "Internal error occurred: "+lost {
		t.Errorf("get: %v", err)
	}
	_, err = secrets.List(t.Context(), metav1.ListOptions{})
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonStoreReadError || len(status.Status().Details.Causes) != 2 ||
		err.Error() != "failed to read one or more secrets from the storage: "+lost+" (and 1 more)" {
		t.Errorf("list: %v", err)
	}
	if err := secrets.Delete(t.Context(), "kept", metav1.DeleteOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("delete: %v", err)
	}
	if _, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("others: %v", err)
	}
	if _, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("create: %v", err)
	}
	unsafe := true
	for _, name := range []string{"kept", "replaced"} {
		if err := secrets.Delete(t.Context(), name, metav1.DeleteOptions{IgnoreStoreReadErrorWithClusterBreakingPotential: &unsafe}); err != nil {
			t.Errorf("unsafe delete: %v", err)
		}
	}
	list, err := secrets.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("list: %v %v", list, err)
	}
	// A watch goes on from there.
	w, err := secrets.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if err := secrets.Delete(t.Context(), "new", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-w.ResultChan():
		if e.Type != watch.Deleted {
			t.Errorf("watched %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch is silent")
	}
}

// TestSharedAuthorityIsSealed: servers of one database share their authority,
// whose key is kept as a Secret is, and written again with the key that counts.
func TestSharedAuthorityIsSealed(t *testing.T) {
	t.Parallel()
	endpoint := storagetest.Postgres(t)
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	options := func() Options {
		return Options{DataDir: t.TempDir(), DatastoreEndpoint: endpoint, Encryption: EncryptionOptions{ProviderConfig: file}}
	}
	for _, step := range []struct{ provider, older, want string }{
		{gcmOne, plain, "k8s:enc:aesgcm:v1:one:"},
		{cbcTwo, gcmOne, "k8s:enc:aescbc:v1:two:"},
	} {
		encryptionFile(t, file, step.provider, step.older)
		stop(t, start(t, options()))
		d, err := postgres.Open(t.Context(), endpoint, storagetest.Logger(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Load(t.Context(), func(r storage.Record) error {
			if strings.HasPrefix(r.Key, sharedPrefix) && !strings.HasPrefix(string(r.Value), step.want) {
				return fmt.Errorf("%s is kept as %.20q", r.Key, r.Value)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		d.Close()
	}
	encryptionFile(t, file, plain)
	o := options()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Start(ctx); err == nil || !strings.Contains(err.Error(), "--encryption-provider-config") {
		t.Errorf("a server without the key starts: %v", err)
	}
	stop(t, s)
}
