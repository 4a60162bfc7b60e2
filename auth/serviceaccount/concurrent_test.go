package serviceaccount

import (
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// While accounts come and go, nobody gets in with the token of one that was gone
// before the request began.
func TestTokensEndWhileTheyAreUsed(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.claimsFor(nil))
	var phase atomic.Int64 // odd while the account is gone
	var users sync.WaitGroup
	end := make(chan struct{})
	var accepted, refused atomic.Int64
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				before := phase.Load()
				_, ok, err := w.AuthenticateToken(t.Context(), token)
				switch {
				case ok && before%2 == 1 && phase.Load() == before:
					t.Error("accepted while the account was gone")
					return
				case ok:
					accepted.Add(1)
				case err != nil:
					refused.Add(1)
				}
			}
		})
	}
	for i := range 20 {
		for accepted.Load() < int64(i) && !t.Failed() {
			w.ask(token)
		}
		w.put("pods/default/web", &corev1.Pod{ObjectMeta: meta("web", "pod")}) // other objects change too
		w.put("serviceaccounts/default/builder", nil)
		phase.Add(1)
		before := refused.Load()
		for refused.Load() == before && !t.Failed() {
			w.ask(token)
		}
		if i == 19 {
			break
		}
		phase.Add(1)
		w.put("serviceaccounts/default/builder", &corev1.ServiceAccount{ObjectMeta: meta("builder", "account")})
	}
	close(end)
	users.Wait()
}
