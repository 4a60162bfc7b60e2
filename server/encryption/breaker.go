package encryption

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

const (
	// slow is how long a provider may take to fail before it is spared.
	slow = 50 * time.Millisecond
	// spare is for how long.
	spare = 2 * time.Second
)

// A breaker spares a key service that does not answer: a start that loads
// thousands of its values waits for one timeout, not for thousands. The store
// asks again later for what could not be opened.
type breaker struct {
	mu     sync.Mutex
	broken map[string]failure // by the provider's prefix
}

type failure struct {
	err   error
	until time.Time
}

func (b *breaker) open(sealed []byte, open func() ([]byte, bool, error)) ([]byte, bool, error) {
	provider := providerOf(sealed)
	if provider == "" {
		return open()
	}
	b.mu.Lock()
	failed, broken := b.broken[provider]
	b.mu.Unlock()
	began := time.Now()
	if broken && began.Before(failed.until) {
		return nil, false, fmt.Errorf("%w (it failed moments ago and will be asked again soon)", failed.err)
	}
	plain, stale, err := open()
	switch now := time.Now(); {
	case err != nil && now.Sub(began) > slow:
		b.mu.Lock()
		if b.broken == nil {
			b.broken = map[string]failure{}
		}
		b.broken[provider] = failure{err, now.Add(spare)}
		b.mu.Unlock()
	case err == nil && broken:
		b.mu.Lock()
		delete(b.broken, provider)
		b.mu.Unlock()
	}
	return plain, stale, err
}

// providerOf is the prefix of values that a key service must help to open,
// such as k8s:enc:kms:v2:NAME:; empty for others.
func providerOf(sealed []byte) string {
	const kms = "k8s:enc:kms:"
	rest, ok := bytes.CutPrefix(sealed, []byte(kms))
	if !ok {
		return ""
	}
	parts := bytes.SplitN(rest, []byte(":"), 3)
	if len(parts) < 3 {
		return ""
	}
	return fmt.Sprintf("%s%s:%s:", kms, parts[0], parts[1])
}
