package server

import (
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/auth/pki/pkitest"
)

// as is a client that acts as somebody else.
func as(t *testing.T, config *rest.Config, who rest.ImpersonationConfig) kubernetes.Interface {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = who
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestImpersonation(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	admin := adminConfig(t, s)
	client := adminClient(t, s)
	review, err := as(t, admin, rest.ImpersonationConfig{UserName: "ada", UID: "7", Groups: []string{"engineers"}, Extra: map[string][]string{"example.org/Team": {"x", "y"}}}).
		AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	who := review.Status.UserInfo
	if who.Username != "ada" || who.UID != "7" || len(who.Groups) != 2 || who.Groups[1] != "system:authenticated" || len(who.Extra["example.org/team"]) != 2 {
		t.Errorf("%+v", who)
	}
	// Rights are those of the other user, not of the caller.
	if _, err := as(t, admin, rest.ImpersonationConfig{UserName: "ada"}).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("ada lists secrets: %v", err)
	}

	// A service account may impersonate what it is allowed to, and no more.
	makeAccount(t, client, "proxy")
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "as-ada"},
		Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"impersonate"}, Resources: []string{"users"}, APIGroups: []string{""}, ResourceNames: []string{"ada"}},
			{Verbs: []string{"impersonate:serviceaccount"}, Resources: []string{"serviceaccounts"}, APIGroups: []string{"authentication.k8s.io"}},
			{Verbs: []string{"impersonate-on:serviceaccount:create"}, Resources: []string{"selfsubjectreviews"}, APIGroups: []string{"authentication.k8s.io"}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "as-ada"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "as-ada"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "proxy"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := requestToken(t, client, "proxy", authenticationv1.TokenRequestSpec{})
	raw := rawClient(t, nil)
	for name, c := range map[string]struct {
		header http.Header
		want   string
	}{
		"ada":                        {http.Header{"Impersonate-User": {"ada"}}, "ada  system:authenticated"},
		"bob":                        {http.Header{"Impersonate-User": {"bob"}}, "403"},
		"ada, who is privileged":     {http.Header{"Impersonate-User": {"ada"}, "Impersonate-Group": {"system:masters"}}, "403"},
		"a group of nobody":          {http.Header{"Impersonate-Group": {"system:masters"}}, "400"},
		"an extra of nobody":         {http.Header{"Impersonate-Extra-Scopes": {"x"}}, "400"},
		"a UID that is not allowed":  {http.Header{"Impersonate-User": {"ada"}, "Impersonate-Uid": {"1"}}, "403"},
		"two names":                  {http.Header{"Impersonate-User": {"ada", "root"}}, "ada  system:authenticated"},
		"an account, to ask who":     {http.Header{"Impersonate-User": {"system:serviceaccount:a:b"}}, "system:serviceaccount:a:b  system:serviceaccounts,system:serviceaccounts:a,system:authenticated"},
		"a node":                     {http.Header{"Impersonate-User": {"system:node:n1"}}, "403"},
		"a proxy's header with it":   {http.Header{"Impersonate-User": {"ada"}, "X-Remote-User": {"root"}, "X-Remote-Group": {"system:masters"}}, "ada  system:authenticated"},
		"nobody, and a proxy's word": {http.Header{"X-Remote-User": {"root"}, "X-Remote-Group": {"system:masters"}}, "system:serviceaccount:default:proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			c.header.Set("Authorization", "Bearer "+token)
			got := askRaw(t, raw, s, c.header)
			if name == "nobody, and a proxy's word" {
				got = got[:min(len(got), len(c.want))]
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// API servers behind this one learn whom to believe.
func TestTrust(t *testing.T) {
	proxies := pkitest.New(t, "proxies", 0)
	theirs := Options{}
	proxy := &theirs.Authentication.FrontProxy
	proxy.ClientCAFile, proxy.AllowedNames, proxy.UsernameHeaders = proxies.File(t), []string{"front"}, []string{"X-Remote-User"}
	for name, c := range map[string]struct {
		options Options
		want    map[string]string
	}{
		"of others": {theirs, map[string]string{
			"requestheader-allowed-names": `["front"]`, "requestheader-username-headers": `["X-Remote-User"]`,
			"requestheader-group-headers": `[]`, "requestheader-extra-headers-prefix": `[]`,
		}},
		"our own": {Options{}, map[string]string{
			"requestheader-allowed-names": `["front-proxy-client"]`, "requestheader-username-headers": `["X-Remote-User"]`, "requestheader-uid-headers": `["X-Remote-Uid"]`,
			"requestheader-group-headers": `["X-Remote-Group"]`, "requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.DataDir = t.TempDir()
			s := start(t, c.options)
			client := adminClient(t, s)
			watch, err := client.CoreV1().ConfigMaps("kube-system").Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=extension-apiserver-authentication", ResourceVersion: "0"})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			<-watch.ResultChan()
			config, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c.want["client-ca-file"], c.want["requestheader-client-ca-file"] = string(s.tls.ClientCAsPEM()), string(s.tls.ProxyCAsPEM())
			for key, want := range c.want {
				if got := config.Data[key]; got != want || got == "" {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			mine, err := s.tls.ProxyCertificate()
			if c.options.Authentication.FrontProxy.ClientCAFile != "" {
				if mine != nil || err != nil {
					t.Errorf("a certificate for others' proxies: %v, %v", mine, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := askRaw(t, rawClient(t, mine), s, http.Header{"X-Remote-User": {"ada"}, "X-Remote-Uid": {"7"}}); got != "ada 7 system:authenticated" {
				t.Errorf("the server doesn't believe itself: %q", got)
			}
		})
	}
}
