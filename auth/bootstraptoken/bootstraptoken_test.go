package bootstraptoken

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type secretMap map[string]*corev1.Secret

func (m secretMap) Secret(namespace, name string) (*corev1.Secret, error) {
	if name == "bootstrap-token-broken" {
		return nil, errors.New("unreadable")
	}
	return m[namespace+"/"+name], nil
}

func TestAuthenticator(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*corev1.Secret)
		token  string
		want   []string // groups; nil: refused
	}{
		"good":              {func(*corev1.Secret) {}, "abcdef.0123456789abcdef", []string{"system:bootstrappers"}},
		"with groups":       {func(s *corev1.Secret) { s.Data["auth-extra-groups"] = []byte("system:bootstrappers:a") }, "abcdef.0123456789abcdef", []string{"system:bootstrappers", "system:bootstrappers:a"}},
		"not yet expired":   {func(s *corev1.Secret) { s.Data["expiration"] = []byte("2026-01-02T03:04:06Z") }, "abcdef.0123456789abcdef", []string{"system:bootstrappers"}},
		"expired":           {func(s *corev1.Secret) { s.Data["expiration"] = []byte("2026-01-02T03:04:05Z") }, "abcdef.0123456789abcdef", nil},
		"expires sometime":  {func(s *corev1.Secret) { s.Data["expiration"] = []byte("soon") }, "abcdef.0123456789abcdef", nil},
		"wrong secret":      {func(*corev1.Secret) {}, "abcdef.0123456789abcdee", nil},
		"no secret":         {func(s *corev1.Secret) { delete(s.Data, "token-secret") }, "abcdef.0123456789abcdef", nil},
		"unknown":           {func(*corev1.Secret) {}, "abcdeg.0123456789abcdef", nil},
		"another ID inside": {func(s *corev1.Secret) { s.Data["token-id"] = []byte("abcdeg") }, "abcdef.0123456789abcdef", nil},
		"another type":      {func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, "abcdef.0123456789abcdef", nil},
		"for signing only":  {func(s *corev1.Secret) { delete(s.Data, "usage-bootstrap-authentication") }, "abcdef.0123456789abcdef", nil},
		"a system group":    {func(s *corev1.Secret) { s.Data["auth-extra-groups"] = []byte("system:masters") }, "abcdef.0123456789abcdef", nil},
		"being deleted":     {func(s *corev1.Secret) { s.DeletionTimestamp = &metav1.Time{Time: now.Add(time.Hour)} }, "abcdef.0123456789abcdef", nil},
		"not of the form":   {func(*corev1.Secret) {}, "ABCDEF.0123456789abcdef", nil},
		"path in the ID":    {func(*corev1.Secret) {}, "../abc.0123456789abcdef", nil},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{Type: "bootstrap.kubernetes.io/token", Data: map[string][]byte{
				"token-id": []byte("abcdef"), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true"),
			}}
			c.change(secret)
			var log bytes.Buffer
			a := &Authenticator{
				Secrets: secretMap{"kube-system/bootstrap-token-abcdef": secret},
				Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				Now:     func() time.Time { return now },
			}
			response, ok, err := a.AuthenticateToken(t.Context(), c.token)
			if err != nil || ok != (c.want != nil) {
				t.Fatalf("%v %v %v", response, ok, err)
			}
			if ok && (response.User.GetName() != "system:bootstrap:abcdef" || !slices.Equal(response.User.GetGroups(), c.want)) {
				t.Errorf("%+v", response.User)
			}
			if strings.Contains(log.String(), "0123456789") {
				t.Errorf("the log has the token: %s", &log)
			}
		})
	}
}
