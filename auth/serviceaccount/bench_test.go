package serviceaccount

import "testing"

// A token that was seen before must cost under 20 microseconds.
func BenchmarkKnownToken(b *testing.B) {
	w := newWorld(b)
	token := w.sign(w.claimsFor(fields{"pod": fields{"name": "web", "uid": "pod"}, "node": fields{"name": "n1", "uid": "node"}}))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := w.AuthenticateToken(b.Context(), token); !ok {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewToken(b *testing.B) {
	w := newWorld(b)
	token := w.sign(w.claimsFor(nil))
	b.ReportAllocs()
	for b.Loop() {
		w.known.Clear()
		if _, ok, err := w.AuthenticateToken(b.Context(), token); !ok {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	claims := w.claimsFor(nil)
	for b.Loop() {
		w.sign(claims)
	}
}
