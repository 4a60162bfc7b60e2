package encryption

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/howdah/howdah/server/encryption/kmstest"
)

const (
	keyOne = "c2VjcmV0IGlzIHNlY3VyZSwgb3IgaXMgaXQ/ISEhISE=" // 32 bytes
	keyTwo = "dGhpcyBpcyBhbm90aGVyIHBhc3N3b3JkLCBmaW5lISE="
	secret = "/registry/secrets/default/token"
)

// resources of the keys that the tests use.
func resourceOf(key string) schema.GroupResource {
	parts := strings.Split(key, "/")
	switch parts[2] {
	case "deployments":
		return schema.GroupResource{Group: "apps", Resource: parts[2]}
	case "foos":
		return schema.GroupResource{Group: "example.com", Resource: parts[2]}
	}
	return schema.GroupResource{Resource: parts[2]}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, text string, reload bool) (*Configuration, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	write(t, path, text)
	c, err := Load(Options{File: path, Reload: reload, ServerID: "apiserver-test", ResourceOf: resourceOf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, path
}

// rule has providers, as lines, for resources.
func rule(resources string, providers ...string) string {
	return "- resources: [" + resources + "]\n  providers:\n  - " + strings.Join(providers, "\n  - ") + "\n"
}

func keyed(provider, name, key string) string {
	return fmt.Sprintf("%s: {keys: [{name: %s, secret: %s}]}", provider, name, key)
}

const identity = "identity: {}"

// TestFormats: values have upstream's prefixes, are bound to their keys, and
// differ each time.
func TestFormats(t *testing.T) {
	plugin := kmstest.Start(t)
	for want, provider := range map[string]string{
		"k8s:enc:aescbc:v1:one:":    keyed("aescbc", "one", keyOne),
		"k8s:enc:aesgcm:v1:one:":    keyed("aesgcm", "one", keyOne),
		"k8s:enc:secretbox:v1:one:": keyed("secretbox", "one", keyOne),
		"k8s:enc:kms:v2:vault:":     "kms: {apiVersion: v2, name: vault, endpoint: '" + plugin.Endpoint + "'}",
	} {
		t.Run(want, func(t *testing.T) {
			c, _ := load(t, rule("secrets", provider, identity), false)
			plain := []byte("k8s\x00 the password")
			sealed := seal(t, c, secret, plain)
			if !bytes.HasPrefix(sealed, []byte(want)) || bytes.Contains(sealed, []byte("password")) {
				t.Errorf("sealed as %q", sealed)
			}
			if bytes.Equal(sealed, seal(t, c, secret, plain)) {
				t.Error("sealed twice it looks the same")
			}
			if got, stale, err := c.Open(t.Context(), secret, sealed); err != nil || stale || !bytes.Equal(got, plain) {
				t.Errorf("opened %q, stale %v: %v", got, stale, err)
			}
			// What was there before encryption is read, and is to be written again.
			if got, stale, err := c.Open(t.Context(), secret, plain); err != nil || !stale || !bytes.Equal(got, plain) {
				t.Errorf("plain opened %q, stale %v: %v", got, stale, err)
			}
			authenticates := !strings.Contains(want, "aescbc") && !strings.Contains(want, "secretbox") // as upstream's documentation says
			if _, _, err := c.Open(t.Context(), secret+"2", sealed); authenticates && err == nil {
				t.Error("opened under another key")
			}
			sealed[len(sealed)-1] ^= 1
			if _, _, err := c.Open(t.Context(), secret, sealed); err == nil && !strings.Contains(want, "aescbc") {
				t.Error("opened though it was changed")
			}
		})
	}
}

func seal(t testing.TB, c *Configuration, key string, plain []byte) []byte {
	t.Helper()
	sealed, err := c.Seal(t.Context(), key, plain)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestResources: the first rule that fits counts, also by wildcard; other
// resources stay plain and don't read what is encrypted.
func TestResources(t *testing.T) {
	gcm := func(name string) string { return keyed("aesgcm", name, keyOne) }
	c, _ := load(t, rule("configmaps", identity)+rule("secrets, foos.example.com", gcm("exact"))+rule("'*.apps'", gcm("group"))+rule("'*.'", gcm("core")), false)
	for key, want := range map[string]string{
		"/registry/secrets/a/b":     "exact",
		"/registry/foos/a/b":        "exact",
		"/registry/configmaps/a/b":  "",
		"/registry/deployments/a/b": "group",
		"/registry/pods/a/b":        "core",
	} {
		if got := string(seal(t, c, key, []byte("v"))); want == "" && got != "v" || want != "" && !strings.HasPrefix(got, "k8s:enc:aesgcm:v1:"+want+":") {
			t.Errorf("%s is sealed as %q, want %q", key, got, want)
		}
	}
	sealed := seal(t, c, secret, []byte("v"))
	if _, _, err := c.Open(t.Context(), "/registry/configmaps/a/b", sealed); err == nil {
		t.Error("an encrypted value is read as a plain one")
	}
	all, _ := load(t, rule("'*.*'", gcm("all")), false)
	if got := seal(t, all, "/registry/foos/a/b", []byte("v")); !bytes.HasPrefix(got, []byte("k8s:enc:aesgcm:v1:all:")) {
		t.Errorf("sealed as %q", got)
	}
}

// TestBadFiles: what is wrong with a file is told at the start.
func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		rule("secrets", keyed("aesgcm", "one", "c2hvcnQ=")):      "secret is not of the expected length",
		rule("secrets", "rot13: {}"):                             "unknown field",
		rule("'*.*'", identity) + rule("secrets", identity):      "masked by earlier rule",
		rule("secrets", "kms: {name: x, endpoint: 'tcp://x:1'}"): "unsupported scheme",
		"": "resources", // an empty list
	} {
		path := filepath.Join(t.TempDir(), "encryption.yaml")
		write(t, path, text)
		c, err := Load(Options{File: path, ResourceOf: resourceOf})
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--encryption-provider-config: ") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "missing")}); err == nil {
		t.Error("a missing file is accepted")
	}
}

// TestReload: a changed file counts without a restart, and a broken one does
// not.
func TestReload(t *testing.T) {
	every := controller.EncryptionConfigFileChangePollDuration
	controller.EncryptionConfigFileChangePollDuration = 10 * time.Millisecond
	defer func() { controller.EncryptionConfigFileChangePollDuration = every }()
	c, path := load(t, rule("secrets", keyed("aescbc", "one", keyOne), identity), true)
	defer c.Close() // before the poll duration changes back
	old := seal(t, c, secret, []byte("v"))
	write(t, path, "- broken")
	write(t, path, rule("secrets", keyed("aesgcm", "two", keyTwo), keyed("aescbc", "one", keyOne)))
	for deadline := time.Now().Add(20 * time.Second); ; {
		plain, stale, err := c.Open(t.Context(), secret, old)
		if err != nil || string(plain) != "v" {
			t.Fatalf("opened %q: %v", plain, err)
		}
		if stale {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new file was not taken over")
		}
		time.Sleep(time.Millisecond)
	}
	if got := seal(t, c, secret, []byte("v")); !bytes.HasPrefix(got, []byte("k8s:enc:aesgcm:v1:two:")) {
		t.Errorf("sealed as %q", got)
	}
	if check := c.Checks()["kms-providers"]; check == nil || check(t.Context()) != nil {
		t.Error("the check of key services is missing or fails")
	}
}

// TestKeyServiceAway: with its seeds unwrapped the server goes on without the
// service; a new server can't open, is not held up by asking for each value, and
// opens them when the service is back.
func TestKeyServiceAway(t *testing.T) {
	plugin := kmstest.Start(t)
	text := rule("secrets", "kms: {apiVersion: v2, name: away, timeout: 200ms, endpoint: '"+plugin.Endpoint+"'}")
	c, _ := load(t, text, false)
	check := c.Checks()["kms-providers"]
	if err := check(t.Context()); err != nil {
		t.Errorf("health: %v", err)
	}
	sealed := seal(t, c, secret, []byte("v"))

	other, _ := load(t, text, false) // its own seed, so it must ask for that of the other
	plugin.Pause()
	if plain, _, err := c.Open(t.Context(), secret, sealed); err != nil || string(plain) != "v" {
		t.Errorf("opened %q: %v", plain, err)
	}
	seal(t, c, secret, []byte("v"))
	began := time.Now()
	for range 1000 {
		if _, _, err := other.Open(t.Context(), secret, sealed); err == nil {
			t.Fatal("opened without the key")
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("1,000 values that can't be opened took %v", took)
	}

	plugin.Resume(t)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		plain, stale, err := other.Open(t.Context(), secret, sealed)
		if err == nil && string(plain) == "v" && !stale {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("opened %q, stale %v: %v", plain, stale, err)
		}
	}
	if n := plugin.Decrypts(); n != 1 {
		t.Errorf("the service unwrapped %d times, once is enough", n)
	}
}

// TestKeyServiceHangs: a service that takes calls and does not answer holds up
// nobody for longer than its timeout, neither a start nor those who read what
// only it can open; with seeds unwrapped nobody notices.
func TestKeyServiceHangs(t *testing.T) {
	t.Parallel()
	plugin := kmstest.Start(t)
	text := rule("secrets", "kms: {apiVersion: v2, name: hangs, timeout: 200ms, endpoint: '"+plugin.Endpoint+"'}")
	c, _ := load(t, text, false)
	sealed := seal(t, c, secret, []byte("v"))
	plugin.Hang(true)
	if plain, _, err := c.Open(t.Context(), secret, sealed); err != nil || string(plain) != "v" {
		t.Errorf("opened %q: %v", plain, err)
	}
	seal(t, c, secret, []byte("v"))

	began := time.Now()
	other, _ := load(t, text, false)
	for range 1000 {
		if _, _, err := other.Open(t.Context(), secret, sealed); err == nil {
			t.Fatal("opened without the key")
		}
	}
	if _, err := other.Seal(t.Context(), secret, []byte("v")); err == nil {
		t.Error("sealed without a key")
	}
	if err := other.Checks()["kms-providers"](t.Context()); err == nil {
		t.Error("the service is said to be healthy")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a start, 1,000 values and a check took %v", took)
	}
	plugin.Hang(false)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_ = other.Checks()["kms-providers"](t.Context()) // as whoever watches /readyz does
		plain, _, err := other.Open(t.Context(), secret, sealed)
		_, sealing := other.Seal(t.Context(), secret, []byte("v"))
		if err == nil && string(plain) == "v" && sealing == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("opened %q: %v; sealed: %v", plain, err, sealing)
		}
	}
}

// TestKeyServiceRotates: once the service has a new key, values are sealed under
// it, and those under the old one are read and are to be written again.
func TestKeyServiceRotates(t *testing.T) {
	t.Parallel()
	plugin := kmstest.Start(t)
	c, _ := load(t, rule("secrets", "kms: {apiVersion: v2, name: rotates, endpoint: '"+plugin.Endpoint+"'}"), false)
	old := seal(t, c, secret, []byte("v"))
	if _, stale, err := c.Open(t.Context(), secret, old); err != nil || stale {
		t.Errorf("before: stale %v: %v", stale, err)
	}
	plugin.Rotate(t)
	// The service is asked for its key with each check of its health, at most
	// three times a minute.
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if err := c.Checks()["kms-providers"](t.Context()); err != nil {
			t.Fatal(err)
		}
		plain, stale, err := c.Open(t.Context(), secret, old)
		if err != nil || string(plain) != "v" {
			t.Fatalf("opened %q: %v", plain, err)
		}
		if stale {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new key is not noticed")
		}
	}
	if _, stale, err := c.Open(t.Context(), secret, seal(t, c, secret, []byte("v"))); err != nil || stale {
		t.Errorf("after: stale %v: %v", stale, err)
	}
}

// TestKeyServiceLimit: for three minutes after the service was last well values
// are sealed without it, then no more until it is back. Opening goes on. A service
// whose key has too long a name is not well.
func TestKeyServiceLimit(t *testing.T) {
	t.Parallel()
	began, ahead := time.Now(), atomic.Int64{}
	t.Cleanup(kmsv2.SetNowFuncForTests("limit", func() time.Time { return began.Add(time.Duration(ahead.Load())) }))
	plugin := kmstest.Start(t)
	c, _ := load(t, rule("secrets", "kms: {apiVersion: v2, name: limit, timeout: 1s, endpoint: '"+plugin.Endpoint+"'}"), false)
	sealed := seal(t, c, secret, []byte("v"))
	check := c.Checks()["kms-providers"]
	fails := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); check(t.Context()) == nil; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is said to be healthy", what)
			}
		}
	}
	limit := func(what string) {
		t.Helper()
		ahead.Add(int64(2 * time.Minute))
		if _, err := c.Seal(t.Context(), secret, []byte("v")); err != nil {
			t.Errorf("%s, before the limit: %v", what, err)
		}
		ahead.Add(int64(2 * time.Minute))
		if _, err := c.Seal(t.Context(), secret, []byte("v")); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("%s, after the limit: %v", what, err)
		}
		if plain, _, err := c.Open(t.Context(), secret, sealed); err != nil || string(plain) != "v" {
			t.Errorf("%s, after the limit: opened %q: %v", what, plain, err)
		}
	}
	back := func() {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
			_ = check(t.Context())
			_, err := c.Seal(t.Context(), secret, []byte("v"))
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	plugin.Pause()
	fails("a service that is away")
	limit("without the service")
	plugin.Resume(t)
	back()
	plugin.Call(strings.Repeat("x", 1025))
	fails("a key with too long a name")
	limit("with too long a name")
	plugin.Rotate(t)
	back()
}

// TestMetrics: upstream's names.
func TestMetrics(t *testing.T) {
	plugin := kmstest.Start(t)
	c, _ := load(t, rule("secrets", "kms: {apiVersion: v2, name: measured, endpoint: '"+plugin.Endpoint+"'}"), false)
	sealed := seal(t, c, secret, []byte("v"))
	if _, _, err := c.Open(t.Context(), secret, sealed); err != nil {
		t.Fatal(err)
	}
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, family := range families {
		got[family.GetName()] = fmt.Sprint(family)
	}
	for _, name := range []string{
		"apiserver_storage_transformation_operations_total",
		"apiserver_storage_transformation_duration_seconds",
		"apiserver_envelope_encryption_key_id_hash_total",
		"apiserver_envelope_encryption_kms_operations_latency_seconds",
		"apiserver_encryption_config_controller_last_config_info",
	} {
		if got[name] == "" {
			t.Errorf("no metric %s", name)
		}
	}
	if text := got["apiserver_storage_transformation_operations_total"]; !strings.Contains(text, "secrets") {
		t.Errorf("transformations are not told apart by resource: %s", text)
	}
}

// Providers of key services are told apart by their names, whatever the bytes.
func FuzzProviderOf(f *testing.F) {
	f.Add([]byte("k8s:enc:kms:v2:vault:\x00"))
	f.Add([]byte("k8s:enc:kms:v2"))
	f.Add([]byte("k8s:enc:aescbc:v1:one:"))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if provider := providerOf(sealed); !bytes.HasPrefix(sealed, []byte(provider)) || strings.Count(provider, ":") > 5 {
			t.Errorf("%q of %q", provider, sealed)
		}
	})
}

func BenchmarkSealer(b *testing.B) {
	plugin := kmstest.Start(b)
	plain := bytes.Repeat([]byte("x"), 1024)
	for _, provider := range []string{
		keyed("aescbc", "one", keyOne), keyed("aesgcm", "one", keyOne), keyed("secretbox", "one", keyOne),
		"kms: {apiVersion: v2, name: bench, endpoint: '" + plugin.Endpoint + "'}", identity,
	} {
		name, _, _ := strings.Cut(provider, ":")
		c, _ := load(b, rule("secrets", provider), false)
		sealed := seal(b, c, secret, plain)
		b.Run(name+"/seal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Seal(context.Background(), secret, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/open", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.Open(context.Background(), secret, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
