// Package audit owns the audit log: the steps of the request flow that record
// who asked for what and what became of it, and what the handlers add to that.
// Policy, events and backends are upstream's but for the one that writes JSON to
// a file, see https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/.
//
// A handler hands over the objects of a request and its answer with [Request],
// [Patch] and [Response]; where answers are made of stored bytes it first asks
// [WantsResponse]. All of these cost one look into the context while there is no
// audit log.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
)

// A Log sends events to its backends.
type Log struct {
	policy  audit.PolicyRuleEvaluator
	backend audit.Backend
	stop    chan struct{}
}

// New reads the policy and prepares the backends that the options name; nil if
// there are none, or no policy.
func New(o *options.AuditOptions, log *slog.Logger) (*Log, error) {
	if o == nil {
		return nil, nil
	}
	if err := errors.Join(o.Validate()...); err != nil {
		return nil, err
	}
	var made genericserver.Config // only where upstream's options put what they make
	others := *o
	others.LogOptions.Path = "" // the file is ours
	if err := others.ApplyTo(&made); err != nil {
		return nil, fmt.Errorf("prepare the audit log: %w", err)
	}
	backend := made.AuditBackend
	if o.LogOptions.Path != "" && made.AuditPolicyRuleEvaluator != nil {
		file, err := newFile(&o.LogOptions)
		if err != nil {
			return nil, fmt.Errorf("prepare the audit log: %w", err)
		}
		if backend = file; made.AuditBackend != nil {
			backend = audit.Union(file, made.AuditBackend)
		}
	}
	switch {
	case backend != nil:
		return &Log{policy: made.AuditPolicyRuleEvaluator, backend: backend, stop: make(chan struct{})}, nil
	case o.PolicyFile != "":
		log.Warn("no audit log is written: --audit-policy-file needs --audit-log-path or --audit-webhook-config-file")
	case o.LogOptions.Path != "" || o.WebhookOptions.ConfigFile != "":
		log.Warn("no audit log is written: --audit-log-path and --audit-webhook-config-file need --audit-policy-file")
	}
	return nil, nil
}

// Start lets the backends work.
func (l *Log) Start() error {
	if err := l.backend.Run(l.stop); err != nil {
		return fmt.Errorf("start the audit log: %w", err)
	}
	return nil
}

// Stop sends what is still buffered. No request may be under way.
func (l *Log) Stop() {
	close(l.stop)
	l.backend.Shutdown()
}

// Context is where a request with that ID is recorded.
func Context(id string) *audit.AuditContext {
	ctx := audit.WithAuditContext(context.Background())
	audit.WithAuditID(ctx, types.UID(id))
	return audit.AuditContextFrom(ctx)
}

// Requests records the requests of known callers. It comes after authentication
// and before impersonation.
func (l *Log) Requests(longRunning request.LongRunningRequestCheck) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return filters.WithAudit(next, l.backend, l.policy, longRunning)
	}
}

// Refused records that a caller could not be authenticated; next answers it.
func (l *Log) Refused(next http.Handler) http.Handler {
	return filters.WithFailedAuthenticationAudit(next, l.backend, l.policy)
}
