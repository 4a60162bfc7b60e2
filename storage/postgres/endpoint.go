package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// defaultSchema is used when the endpoint has no search_path.
	defaultSchema = "howdah"
	// connectTimeout is for each host, unless the endpoint has connect_timeout.
	connectTimeout = 5 * time.Second
	// statementTimeout ends a statement that the database works on, should its
	// client have died.
	statementTimeout = 30 * time.Second
	// lockTimeout ends the wait for another server's commit.
	lockTimeout = 8 * time.Second
	// idleTimeout ends a transaction whose client froze.
	idleTimeout = 60 * time.Second
	// minConns is the pool's size unless the endpoint has pool_max_conns: a
	// commit must find a connection while others load, list and compact.
	minConns = 8
)

// parse reads a libpq endpoint: a URL or "key=value" words. pgx takes every
// option of libpq, and its own such as pool_max_conns and default_query_exec_mode.
func parse(endpoint string) (*pgxpool.Config, string, error) {
	config, err := pgxpool.ParseConfig(endpoint)
	if err != nil {
		return nil, "", fmt.Errorf("PostgreSQL endpoint: %w", err)
	}
	conn := config.ConnConfig
	schema, err := schemaOf(conn.RuntimeParams["search_path"])
	if err != nil {
		return nil, "", err
	}
	delete(conn.RuntimeParams, "search_path")

	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.DialFunc = dialer(conn.ConnectTimeout).DialContext
	if conn.ValidateConnect == nil {
		// Of several hosts only the primary will do, also when nobody says so.
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if !strings.Contains(endpoint, "pool_max_conns") {
		config.MaxConns = max(config.MaxConns, minConns)
	}
	config.AfterConnect = encodeBytesOnce
	if config.PingTimeout == 0 {
		config.PingTimeout = 2 * time.Second
	}
	for name, value := range sessionSettings {
		if _, given := conn.RuntimeParams[name]; !given {
			conn.RuntimeParams[name] = value
		}
	}
	return config, schema, nil
}

// sessionSettings hold unless the endpoint says otherwise.
var sessionSettings = map[string]string{
	"application_name":                    "howdah",
	"default_transaction_isolation":       "read committed",
	"statement_timeout":                   milliseconds(statementTimeout),
	"lock_timeout":                        milliseconds(lockTimeout),
	"idle_in_transaction_session_timeout": milliseconds(idleTimeout),
	// Every query here is a lookup or a range of an index. The planner must not
	// decide otherwise while its statistics are younger or older than the data.
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_bitmapscan": "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"jit":               "off",
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// withoutSettings is for a pooler that refuses settings in the startup message:
// what it doesn't carry, deadlines of contexts replace.
func withoutSettings(config *pgxpool.Config) *pgxpool.Config {
	config = config.Copy()
	for name := range sessionSettings {
		delete(config.ConnConfig.RuntimeParams, name)
	}
	return config
}

// refusesSettings recognises PgBouncer's answer to a setting that it can't track.
func refusesSettings(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && strings.Contains(pgErr.Message, "unsupported startup parameter")
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,54}$`)

// schemaOf is the first schema of a search path. Names that would need quotes
// are refused; the channel of notifications is named after the schema too.
func schemaOf(searchPath string) (string, error) {
	first, _, _ := strings.Cut(searchPath, ",")
	first = strings.Trim(strings.TrimSpace(first), `"`)
	if first == "" {
		return defaultSchema, nil
	}
	if !plainName.MatchString(first) {
		return "", fmt.Errorf("search_path %q: the schema must match %s; choose another name", searchPath, plainName)
	}
	return first, nil
}

// dialer notices a peer that is gone within seconds, even on an idle connection.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		ControlContext:  limitUnacknowledged,
	}
}

// bounded ends with ctx, after timeout, or when the driver is closed.
func (d *Driver) bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	stop := context.AfterFunc(d.closing, cancel)
	return ctx, func() { stop(); cancel() }
}
