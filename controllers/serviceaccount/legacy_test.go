package serviceaccount

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/auth/serviceaccount"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	const unused = 30 * 24 * time.Hour
	for _, test := range []struct {
		name          string
		age           int // days
		lastUsed      string
		invalid       string
		uid           types.UID
		notReferredTo bool
		want          verdict
	}{
		{name: "young", age: 3, want: keep},
		{name: "never used", age: 40, want: invalidate},
		{name: "used lately", age: 40, lastUsed: "2026-05-20", want: keep},
		{name: "used long ago", age: 90, lastUsed: "2026-04-01", want: invalidate},
		{name: "used on a day that is none", age: 90, lastUsed: "lately", want: keep},
		{name: "made by hand", age: 90, notReferredTo: true, want: keep},
		{name: "another account's", age: 90, uid: "other", want: keep},
		{name: "invalid for a while", age: 90, invalid: "2026-05-20", want: keep},
		{name: "invalid for long", age: 90, invalid: "2026-04-20", want: remove},
		{name: "invalid since a day that is none", age: 90, invalid: "x", want: invalidate},
		{name: "invalid for long, but used since", age: 90, invalid: "2026-04-20", lastUsed: "2026-05-20", want: keep},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: "token", CreationTimestamp: metav1.NewTime(now.AddDate(0, 0, -test.age)),
			Annotations: map[string]string{corev1.ServiceAccountUIDKey: string(test.uid)}, Labels: map[string]string{},
		}}
		for label, value := range map[string]string{serviceaccount.LastUsedLabel: test.lastUsed, serviceaccount.InvalidSinceLabel: test.invalid} {
			if value != "" {
				secret.Labels[label] = value
			}
		}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{UID: "uid"}}
		if !test.notReferredTo {
			account.Secrets = []corev1.ObjectReference{{Name: "token"}}
		}
		if got := judge(secret, account, now, unused); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
