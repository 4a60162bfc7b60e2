package authorization

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/server/options/authorizationconfig/metrics"
	"k8s.io/apiserver/pkg/util/filesystem"
)

// lookInterval is how often the file is looked at when its changes can't be
// watched.
const lookInterval = time.Minute

// Run reads the configuration file again when it changes, until ctx ends. A file
// that is not valid changes nothing but a metric and the log.
func (c *Chain) Run(ctx context.Context) {
	if c.path == "" {
		return
	}
	metrics.RegisterMetrics()
	metrics.RecordAuthorizationConfigLastConfigInfo(c.serverID, string(c.data))
	filesystem.WatchUntil(ctx, lookInterval, c.path,
		func() {
			switch changed, err := c.reload(); {
			case err != nil:
				metrics.RecordAuthorizationConfigAutomaticReloadFailure(c.serverID)
				c.log.Error("the changed --authorization-config can't be used, the last good one stays in force", "path", c.path, "err", err)
			case changed:
				metrics.RecordAuthorizationConfigAutomaticReloadSuccess(c.serverID, string(c.data))
				c.log.Info("reloaded --authorization-config", "path", c.path)
			}
		},
		func(err error) { c.log.Warn("watching --authorization-config", "path", c.path, "err", err) },
	)
}

// reload says whether there is a new configuration in force.
func (c *Chain) reload() (bool, error) {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return false, err
	}
	if bytes.Equal(data, c.data) {
		return false, nil
	}
	c.data = data
	configuration, err := parse(data, c.compiler)
	if err != nil {
		return false, err
	}
	if missing := c.required.Difference(types(configuration)); missing.Len() > 0 {
		return false, fmt.Errorf("missing required types: %v", sets.List(missing))
	}
	if reflect.DeepEqual(configuration, c.loaded) {
		return false, nil
	}
	c.loaded = configuration
	made, err := c.link(configuration)
	if err != nil {
		return false, err
	}
	c.current.Store(made)
	return true, nil
}
