package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Tokens with unknown key ids make go-oidc ask the issuer for its keys, one
// request at a time. Anybody can make up such tokens, so after a burst the
// issuer is asked only once a second: a rotated key is then noticed at most
// that much later.
const (
	keyFetchEvery = time.Second
	keyFetchBurst = 10
)

// keyFetches is what requests for an issuer's keys pass.
type keyFetches struct {
	next    http.RoundTripper
	issuer  string
	metrics *Metrics
	limit   *rate.Limiter
}

func newKeyFetches(next http.RoundTripper, issuer string, metrics *Metrics) *keyFetches {
	return &keyFetches{next: next, issuer: issuer, metrics: metrics, limit: rate.NewLimiter(rate.Every(keyFetchEvery), keyFetchBurst)}
}

// RoundTrip implements [http.RoundTripper].
func (k *keyFetches) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := k.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	answer, err := k.next.RoundTrip(r)
	if err != nil {
		if !errors.Is(err, context.Canceled) { // else the issuer is no longer ours
			k.metrics.fetchFailed(k.issuer)
		}
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		return answer, nil // what is behind the redirection counts
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		k.metrics.fetchFailed(k.issuer)
		return nil, err
	}
	var keys struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if answer.StatusCode != http.StatusOK || json.Unmarshal(body, &keys) != nil {
		k.metrics.fetchFailed(k.issuer)
	} else {
		k.metrics.fetched(k.issuer, body)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
