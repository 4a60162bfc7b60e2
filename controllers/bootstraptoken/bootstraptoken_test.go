package bootstraptoken

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cluster-bootstrap/token/jws"
)

func TestSigned(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	token := func(name, id string, change map[string]string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{
			"token-id": []byte(id), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-signing": []byte("true"),
		}}
		for key, value := range change {
			s.Data[key] = []byte(value)
		}
		return s
	}
	tokens := []*corev1.Secret{
		token("bootstrap-token-aaaaaa", "aaaaaa", map[string]string{"expiration": "2026-01-02T04:00:00Z"}),
		token("bootstrap-token-bbbbbb", "bbbbbb", map[string]string{"expiration": "2026-01-02T03:00:00Z"}),
		token("bootstrap-token-cccccc", "cccccc", map[string]string{"usage-bootstrap-signing": "false"}),
		token("bootstrap-token-dddddd", "eeeeee", nil),
		token("other", "ffffff", nil),
		token("bootstrap-token-gggggg", "gggggg", map[string]string{"token-secret": ""}),
		token("bootstrap-token-hhhhhh", "hhhhhh", nil),
	}
	data := map[string]string{"kubeconfig": "clusters: []", "jws-kubeconfig-gone00": "x", "mine": "y"}
	got, err := signed(data, tokens, now)
	if err != nil {
		t.Fatal(err)
	}
	if keys := strings.Join(slices.Sorted(maps.Keys(got)), " "); keys != "jws-kubeconfig-aaaaaa jws-kubeconfig-hhhhhh kubeconfig mine" {
		t.Error(keys)
	}
	if !jws.DetachedTokenIsValid(got["jws-kubeconfig-aaaaaa"], "clusters: []", "aaaaaa", "0123456789abcdef") {
		t.Errorf("%q is no signature", got["jws-kubeconfig-aaaaaa"])
	}
	if again, err := signed(got, tokens, now); err != nil || !maps.Equal(again, got) {
		t.Errorf("again %v %v", again, err)
	}
	if empty, err := signed(map[string]string{"a": "b"}, tokens, now); err != nil || len(empty) != 1 {
		t.Errorf("without a description %v %v", empty, err)
	}
}
