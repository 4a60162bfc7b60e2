package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/howdah/howdah/storage"
)

// SQLSTATE codes and classes that stand for a condition of the database, not
// of the query.
const (
	classConnection    = "08"
	classAuthorization = "28" // a password or certificate is being rotated
	classResources     = "53"
	classSystem        = "58"
	classShutdown      = "57P"

	codeReadOnly       = "25006" // a primary was demoted
	codeDeadlock       = "40P01"
	codeSerialization  = "40001"
	codeNotPrepared    = "55000" // recovery is in progress
	codeLockTimeout    = "55P03"
	codeCanceled       = "57014" // statement_timeout
	codeIdleInTx       = "25P03"
	codeStillStarting  = "57P03"
	codeNoSuchDatabase = "3D000"
)

// classify wraps err in the class that callers test for. An error it doesn't
// know stays unknown.
func classify(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("PostgreSQL: %s: %w", what, context.Canceled)
	case unavailable(err):
		return fmt.Errorf("PostgreSQL: %s: %w: %w", what, storage.ErrUnavailable, err)
	default:
		return fmt.Errorf("PostgreSQL: %s: %w", what, err)
	}
}

func unavailable(err error) bool {
	if code := sqlState(err); code != "" {
		switch code {
		case codeReadOnly, codeDeadlock, codeSerialization, codeNotPrepared, codeLockTimeout, codeCanceled, codeIdleInTx, codeNoSuchDatabase:
			return true
		}
		for _, class := range []string{classConnection, classAuthorization, classResources, classSystem, classShutdown} {
			if strings.HasPrefix(code, class) {
				return true
			}
		}
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || lostConnection(err)
}

// stale says that idle connections opened before err had better not be used.
func stale(err error) bool {
	switch code := sqlState(err); {
	case code == "":
		return lostConnection(err) || errors.Is(err, context.DeadlineExceeded)
	case code == codeReadOnly || code == codeNotPrepared:
		return true
	default:
		return strings.HasPrefix(code, classShutdown) && code != codeStillStarting
	}
}

// repeatable says that the same call may work on another connection, at once.
func repeatable(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return false
	}
	switch sqlState(err) {
	case codeDeadlock, codeSerialization:
		return true
	}
	return stale(err)
}

func lostConnection(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err)
}

func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}
