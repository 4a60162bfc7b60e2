package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/howdah/howdah/auth/oidc/oidctest"
)

// TestOIDC logs in with kubectl by a token and by a credential plugin.
func TestOIDC(t *testing.T) {
	issuer, dir := oidctest.New(t), t.TempDir()
	write := func(name, data string, mode os.FileMode) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	s := newServer(t, "", "--oidc-issuer-url="+issuer.URL, "--oidc-client-id=kubectl", "--oidc-ca-file="+write("ca.crt", issuer.CA, 0o600),
		"--oidc-groups-claim=groups", "--oidc-groups-prefix=oidc:", "--oidc-signing-algs=RS256,ES256", "--tls-min-version=VersionTLS13")
	token := func() string {
		return issuer.Token(map[string]any{"sub": "jane", "aud": "kubectl", "groups": []string{"team"}})
	}

	// A kubeconfig for everybody, and one whose user asks a plugin.
	config, err := clientcmd.LoadFromFile(s.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	name := config.Contexts[config.CurrentContext].AuthInfo
	kubeconfig := func(file string, user *clientcmdapi.AuthInfo) string {
		t.Helper()
		config.AuthInfos[name] = user
		file = filepath.Join(dir, file)
		if err := clientcmd.WriteToFile(*config, file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	everybody := kubeconfig("everybody", &clientcmdapi.AuthInfo{})
	tokenFile := write("token", token(), 0o600)
	plugin := kubeconfig("plugin", &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		Command: write("plugin.sh", `#!/bin/sh
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat `+tokenFile+`)"
`, 0o700),
	}})

	run := func(kubeconfig, want string, args ...string) {
		t.Helper()
		command := exec.Command(kubectl, append([]string{"--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(dir, "cache")}, args...)...)
		output, _ := command.CombinedOutput()
		if !regexp.MustCompile(want).Match(output) {
			t.Errorf("kubectl %s: %s\nwant %s", strings.Join(args[:min(2, len(args))], " "), output, want)
		}
	}
	run(s.kubeconfig(), "created", "create", "clusterrole", "team", "--verb=list", "--resource=configmaps,pods")
	run(s.kubeconfig(), "created", "create", "clusterrolebinding", "team", "--clusterrole=team", "--group=oidc:team")
	user := regexp.QuoteMeta(issuer.URL + "#jane")
	if err := s.log.seen(regexp.MustCompile("found the issuer"), startTimeout); err != nil {
		t.Fatal(err)
	}
	run(everybody, `Username +`+user+`\n(?s).*oidc:team`, "auth", "whoami", "--token", token())
	run(everybody, "extension-apiserver-authentication", "get", "configmaps", "-A", "--token", token())
	run(everybody, `secrets is forbidden: User "`+user+`" cannot list resource "secrets" in API group "" in the namespace "default"`, "get", "secrets", "--token", token())
	run(everybody, "You must be logged in to the server", "get", "pods", "--token", issuer.TokenBy(issuer.NewKey("RS256"), map[string]any{"sub": "jane", "aud": "kubectl"}))
	run(everybody, "You must be logged in to the server", "get", "pods", "--token", issuer.Token(map[string]any{"sub": "jane", "aud": "others"}))
	run(plugin, `Username +`+user, "auth", "whoami")
	issuer.Rotate("ES256")
	write("token", token(), 0o600)
	run(plugin, "No resources found", "get", "pods")
}
