package serviceaccount

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestLacks(t *testing.T) {
	for _, test := range []struct {
		name, authority  string
		token, namespace string
		root             string
		lacks            bool
	}{
		{"empty", "ca", "", "", "", true},
		{"full", "ca", "token", "default", "ca", false},
		{"without its token", "ca", "", "default", "ca", true},
		{"without its namespace", "ca", "token", "", "ca", true},
		{"with an old authority", "ca", "token", "default", "old", true},
		{"where there is no authority to tell of", "", "token", "default", "", false},
	} {
		secret := &corev1.Secret{Data: map[string][]byte{}}
		for key, value := range map[string]string{"token": test.token, "namespace": test.namespace, "ca.crt": test.root} {
			if value != "" {
				secret.Data[key] = []byte(value)
			}
		}
		x := &tokens{TokenOptions: TokenOptions{RootCA: []byte(test.authority)}}
		if got := x.lacks(secret); got != test.lacks {
			t.Errorf("one %s lacks something: %v", test.name, got)
		}
	}
}
