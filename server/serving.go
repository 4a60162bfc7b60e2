package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/howdah/howdah/auth"
	"github.com/howdah/howdah/auth/pki"
)

// ServingOptions say how HTTPS is spoken. The zero value is kube-apiserver's
// default.
type ServingOptions struct {
	SNI      []pki.NamedCertificate // --tls-sni-cert-key
	Protocol pki.Protocol           // --tls-min-version, --tls-cipher-suites, --tls-curve-preferences
	// MaxStreams is how many requests at once an HTTP/2 connection may have;
	// 0: 100.
	MaxStreams int
	// StrictTransport are the directives of the header Strict-Transport-Security
	// (RFC 6797, section 6.1); empty: there is none.
	StrictTransport []string
}

func (o *ServingOptions) check(log *slog.Logger) error {
	if o.MaxStreams < 0 {
		return errors.New("--http2-max-streams-per-connection can't be negative")
	}
	for _, directive := range o.StrictTransport {
		age, isAge := strings.CutPrefix(directive, "max-age=")
		switch {
		case strings.TrimSpace(directive) == "":
			return errors.New("empty value in strict-transport-security-directives")
		case directive == "includeSubDomains", directive == "preload", isAge && !strings.Contains(age, "="):
		default:
			return errors.New("--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information")
		}
	}
	// HTTP/2 doesn't work with just any suites; its own library knows.
	config := &tls.Config{MinVersion: max(tls.VersionTLS12, o.Protocol.MinVersion), CipherSuites: o.Protocol.CipherSuites}
	//lint:ignore SA1019 http.Server, which is to be used instead, doesn't check the suites
	if err := http2.ConfigureServer(&http.Server{TLSConfig: config}, nil); err != nil {
		return fmt.Errorf("--tls-cipher-suites: error configuring http2: %w", err)
	}
	for name, id := range cliflag.InsecureTLSCiphers() {
		if slices.Contains(o.Protocol.CipherSuites, id) {
			log.Warn(fmt.Sprintf("Use of insecure cipher '%s' detected.", name))
		}
	}
	return nil
}

// Limits of connections, kube-apiserver's but for the last
// (k8s.io/apiserver/pkg/server/secure_serving.go).
const (
	idleTimeout       = 90 * time.Second // that of Go's clients
	readHeaderTimeout = 32 * time.Second
	maxHeaderBytes    = 1 << 20
	standardStreams   = 100
	streamBuffer      = 256 << 10 // most requests fit
	// connectionBuffer bounds what a connection's requests may send ahead. It is
	// the most that Go's server allows; a buffer is only as large as what is in it.
	connectionBuffer = 4<<20 - 1
)

// serve takes connections until the listener is closed.
func (s *Server) serve() {
	streams := s.options.Serving.MaxStreams
	if streams == 0 {
		streams = standardStreams
	}
	s.http = &http.Server{
		Handler:           s.api.handler,
		ConnContext:       auth.ConnContext,
		IdleTimeout:       idleTimeout,
		ReadHeaderTimeout: readHeaderTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streams,
			MaxReadFrameSize:              streamBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: min(connectionBuffer, streamBuffer*streams),
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	// Watches end once the port is closed: who comes back is refused at once and tries
	// again. A connection that nobody takes any more would be reset, after which
	// client-go lists everything anew.
	s.http.RegisterOnShutdown(func() { close(s.api.watchesEnd) })
	go func() {
		err := s.http.Serve(tls.NewListener(s.listener, s.tls.ServerTLS()))
		if !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve: %w", err)
		}
	}()
}
