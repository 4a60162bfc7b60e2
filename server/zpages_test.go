package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server/zpages"
)

// TestZPages: how the server was started and what it is, for those who may know.
func TestZPages(t *testing.T) {
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	flags.Int("secure-port", 6443, "")
	flags.String("datastore-endpoint", "", "")
	if err := flags.Parse([]string{"--datastore-endpoint=postgres://howdah:secret@db"}); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: t.TempDir(), Flags: zpages.Flags(flags, "datastore-endpoint")})
	admin := clientOf(t, s)
	get := func(path, accept string) string {
		t.Helper()
		body, err := admin.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", accept).DoRaw(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return string(body)
	}

	text := get("/flagz", "text/plain")
	if !strings.Contains(text, "kube-apiserver flagz") || !strings.Contains(text, "secure-port") ||
		!strings.Contains(text, "CLASSIFIED") || strings.Contains(text, "secret") {
		t.Errorf("/flagz:\n%s", text)
	}
	var shown struct {
		Kind  string
		Flags map[string]string
	}
	document := get("/flagz", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz")
	if err := json.Unmarshal([]byte(document), &shown); err != nil || shown.Kind != "Flagz" || shown.Flags["secure-port"] != "6443" {
		t.Errorf("%s: %v", document, err)
	}
	text = get("/statusz", "text/plain")
	if !strings.Contains(text, "kube-apiserver statusz") || !strings.Contains(text, "1.37") || !strings.Contains(text, "/metrics") {
		t.Errorf("/statusz:\n%s", text)
	}

	var root metav1.RootPaths
	if err := json.Unmarshal([]byte(get("/", "application/json")), &root); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1", "/flagz", "/healthz", "/livez/ping", "/metrics", "/readyz/shutdown", "/statusz"} {
		if !slices.Contains(root.Paths, path) {
			t.Errorf("the index lacks %s: %v", path, root.Paths)
		}
	}

	nobody, _ := caller(t, s, "nobody")
	for _, path := range []string{"/flagz", "/statusz"} {
		if err := nobody.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).Error(); !apierrors.IsForbidden(err) {
			t.Errorf("%s for nobody: %v", path, err)
		}
	}
	// Upstream's role for who watches components.
	role, err := admin.RbacV1().ClusterRoles().Get(t.Context(), "system:monitoring", metav1.GetOptions{})
	if err != nil || !slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.NonResourceURLs, "/statusz") }) {
		t.Errorf("%v: %v", role, err)
	}
}
