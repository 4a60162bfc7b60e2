// Package server runs a Howdah API server: it opens the store, fills the table
// of resources, listens, and stops everything in order.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/howdah/howdah/auth/pki"
	"github.com/howdah/howdah/server/audit"
	"github.com/howdah/howdah/server/encryption"
	"github.com/howdah/howdah/server/health"
	"github.com/howdah/howdah/server/metrics"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/postgres"
	"github.com/howdah/howdah/storage/sqlite"
)

// A Server is one API server. The order of its life is [New], [Server.Start],
// [Server.Stop].
type Server struct {
	options Options
	log     *slog.Logger
	health  *health.Checks

	listener   net.Listener
	table      *resource.Table
	driver     storage.Driver
	encryption *encryption.Configuration // nil: none
	store      *storage.Store
	tls        *pki.TLS
	api        *api
	http       *http.Server
	kubeconfig string
	components *components

	audit    *audit.Log // nil: none
	auditing bool       // it was started

	started bool
	failed  chan error // the listener broke
	stop    sync.Once
	stopErr error
}

// New checks the options; nothing runs and nothing is written yet.
func New(options Options) (*Server, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	if err := options.Process.apply(options.Logger); err != nil {
		return nil, err
	}
	s := &Server{options: options, log: options.Logger, table: resource.NewTable(), failed: make(chan error, 1)}
	s.health = health.New(s.log)
	return s, nil
}

// Start opens the store, listens, and returns when the server is ready. ctx
// bounds the start only. After an error everything is stopped again.
func (s *Server) Start(ctx context.Context) (err error) {
	if s.started {
		return errors.New("the server was started already")
	}
	s.started = true
	defer func() {
		if err != nil {
			s.stopNow()
		}
	}()
	if err := os.MkdirAll(s.options.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	// The port is taken first: it is in the kubeconfig, and a second server on
	// the same port should fail before it touches anything.
	address := net.JoinHostPort(s.options.BindAddress.String(), strconv.Itoa(s.options.SecurePort))
	if s.listener, err = net.Listen("tcp", address); err != nil {
		return fmt.Errorf("listen on %s (choose another --secure-port or --bind-address): %w", address, err)
	}
	if s.audit, err = audit.New(s.options.Audit, s.log); err != nil {
		return err
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if s.api, err = newAPI(s); err != nil {
		return err
	}
	close(s.api.handling) // the flow finds its steps through s.api
	if err := s.store.Start(ctx); err != nil {
		return err
	}
	s.api.authorizing.start(s.store, s.api.installed.Config.Getter)
	if s.tls, err = pki.Ensure(ctx, s.pkiOptions()); err != nil {
		return err
	}
	if s.kubeconfig, err = s.tls.WriteAdminKubeconfig(s.Port()); err != nil {
		return err
	}
	if err := s.api.authentication.open(ctx, s); err != nil {
		return err
	}
	if s.audit != nil {
		if err := s.audit.Start(); err != nil {
			return err
		}
		s.auditing = true
	}
	s.serve()
	if err := s.api.start(ctx); err != nil {
		return err
	}
	s.components, err = startComponents(s)
	return err
}

// Port is the one the server listens on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// AdminKubeconfig is the path of the kubeconfig that has all rights.
func (s *Server) AdminKubeconfig() string { return s.kubeconfig }

// Failed gives the error that broke a running server.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) openStore(ctx context.Context) error {
	driver, err := s.openDriver(ctx)
	if err != nil {
		return err
	}
	s.driver = driver
	resourceOf := metrics.ResourceOf(s.table)
	sealer, err := s.sealer(resourceOf)
	if err != nil {
		return err
	}
	s.store, err = storage.New(storage.Options{
		Driver:           metrics.Driver(driver, resourceOf),
		Sealer:           sealer,
		Logger:           s.log,
		HistoryRetention: s.options.HistoryRetention,
		MaxHistoryBytes:  s.options.HistoryMaxBytes,
	})
	return err
}

func (s *Server) openDriver(ctx context.Context) (storage.Driver, error) {
	if s.options.DatastoreEndpoint == "" {
		return sqlite.Open(ctx, filepath.Join(s.options.DataDir, "howdah.db"), s.log)
	}
	driver, err := postgres.Open(ctx, s.options.DatastoreEndpoint, s.log)
	if err != nil {
		return nil, fmt.Errorf("open --datastore-endpoint, a postgres:// URL: %w", err)
	}
	return driver, nil
}

func (s *Server) pkiOptions() pki.Options {
	options := pki.Options{
		Dir:              s.options.DataDir,
		BindAddress:      s.options.BindAddress,
		AdvertiseAddress: s.options.AdvertiseAddress,
		SANs:             s.options.TLSSANs,
		ServiceIPs:       s.options.serviceIPs(),
		CertFile:         s.options.TLSCertFile,
		KeyFile:          s.options.TLSPrivateKeyFile,
		ClientCAFile:     s.options.ClientCAFile,
		SNI:              s.options.Serving.SNI,
		Protocol:         s.options.Serving.Protocol,
		ProxyCAFile:      s.options.Authentication.FrontProxy.ClientCAFile,
		ProxyCertFile:    s.options.Aggregation.ProxyClientCertFile,
		ProxyKeyFile:     s.options.Aggregation.ProxyClientKeyFile,
		KubeletCertFile:  s.options.Kubelet.ClientCertFile,
		KubeletKeyFile:   s.options.Kubelet.ClientKeyFile,
		Logger:           s.log,
	}
	if s.options.ownFrontProxy {
		options.ProxyName = ownProxyName
	}
	if s.options.DatastoreEndpoint != "" {
		// Servers that share a database are one cluster and share its authority.
		options.Shared = &sharedFiles{store: s.store}
	}
	return options
}

// Stop stops in this order, each step with a bound: not ready, components such
// as the controllers, no new requests, background loops, watches, requests
// under way, writes under way, the database. It may be called twice.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		s.health.ShuttingDown()
		if s.http != nil && s.options.ShutdownDelay > 0 {
			select {
			case <-time.After(s.options.ShutdownDelay):
			case <-ctx.Done():
			}
		}
		ctx, cancel := context.WithTimeout(ctx, s.options.ShutdownTimeout)
		defer cancel()
		var errs []error
		if s.components != nil {
			errs = append(errs, s.components.stop(ctx))
		}
		if s.api != nil {
			errs = append(errs, s.api.stop(ctx))
		}
		errs = append(errs, s.drain(ctx))
		if s.auditing {
			s.audit.Stop()
		}
		if s.api != nil {
			s.api.authorizing.stop()
			s.api.authentication.remote.issuers.Stop()
		}
		if s.store != nil {
			errs = append(errs, s.store.Stop(ctx))
		}
		if s.driver != nil {
			errs = append(errs, s.driver.Close())
		}
		if s.encryption != nil {
			s.encryption.Close()
		}
		s.stopErr = errors.Join(errs...)
	})
	return s.stopErr
}

// drain closes the listener, ends watches and waits for the requests under way.
func (s *Server) drain(ctx context.Context) error {
	if s.http == nil {
		if s.listener != nil {
			return s.listener.Close()
		}
		return nil
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still under way at the end of the stop: %w", err), s.http.Close())
	}
	return nil
}

// stopNow undoes a failed start.
func (s *Server) stopNow() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		s.log.Debug("stopping after a failed start", "err", err)
	}
}
