package configuration

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	reloads "k8s.io/apiserver/pkg/server/options/authenticationconfig/metrics"
	"k8s.io/apiserver/pkg/util/filesystem"
)

const (
	// lookInterval is how often the file is looked at when its changes can't
	// be watched, and how soon what failed is tried again.
	lookInterval = time.Minute
	// discoveryTimeout is how long a changed configuration waits for its
	// issuers before it is put off.
	discoveryTimeout = time.Minute
)

// watch takes over changes of the file until ctx ends.
func (t *Tokens) watch(ctx context.Context) {
	filesystem.WatchUntil(ctx, lookInterval, t.config.File,
		func() {
			changed, err := t.reload(ctx)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				reloads.RecordAuthenticationConfigAutomaticReloadFailure(t.config.ServerID)
				t.log.Error("the changed --authentication-config can't be used, the last good one stays in force", "file", t.config.File, "err", err)
			case changed:
				reloads.RecordAuthenticationConfigAutomaticReloadSuccess(t.config.ServerID, t.data)
				t.log.Info("reloaded --authentication-config", "file", t.config.File)
			}
		},
		func(err error) { t.log.Warn("watching --authentication-config", "file", t.config.File, "err", err) })
}

// reload says whether there is a new configuration in force. What can never be
// right is not tried again; what may become right by itself is.
func (t *Tokens) reload(ctx context.Context) (bool, error) {
	read, err := os.ReadFile(t.config.File)
	if err != nil {
		return false, err
	}
	data := string(read)
	if data == t.data {
		return false, nil
	}
	next, err := t.parse(read)
	if err != nil {
		t.data = data
		return false, err
	}
	next.start()
	waiting, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	if err := next.discovered(waiting); err != nil {
		next.stop()
		return false, fmt.Errorf("not all issuers were found within %v, it is tried again: %w", discoveryTimeout, err)
	}
	t.data = data
	last := t.current.Swap(next)
	t.retiring.Go(func() {
		last.retire()
		for _, one := range last.authenticators {
			if !t.current.Load().has(one.Issuer()) {
				t.metrics.Forget(one.Issuer())
			}
		}
	})
	return true, nil
}

// parse makes the issuers of a changed file.
func (t *Tokens) parse(data []byte) (*issuers, error) {
	configuration, err := decode(data)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(configuration.Anonymous, t.anonymous) {
		return nil, errAnonymousChanged
	}
	return t.build(configuration)
}
