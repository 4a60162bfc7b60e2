package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/client-go/util/cert"
)

const (
	// clientTimeout bounds a request to an issuer, its answer's body
	// included; it is kube-apiserver's.
	clientTimeout = 30 * time.Second
	// maxAnswer bounds in bytes what is read of an issuer's answer. Documents
	// and key sets have some kilobytes.
	maxAnswer = 1 << 20
	// maxErrorText bounds what of an issuer's answer gets into an error.
	maxErrorText = 512
)

var errPlainHTTP = errors.New("only https is used to talk to an issuer")

// newClient makes the client for what an issuer and its tokens name. The
// second result, to be called once, ends its requests.
func newClient(issuer apiserver.Issuer) (*http.Client, func(), error) {
	var roots *x509.CertPool // nil: the system's
	if issuer.CertificateAuthority != "" {
		var err error
		if roots, err = cert.NewPoolFromBytes([]byte(issuer.CertificateAuthority)); err != nil {
			return nil, nil, fmt.Errorf("read the issuer's certificate authority: %w", err)
		}
	}
	base := utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	t := &transport{next: base, closed: make(chan struct{})}
	if issuer.DiscoveryURL != "" {
		discovery, err := url.Parse(issuer.DiscoveryURL)
		if err != nil {
			return nil, nil, fmt.Errorf("oidc: invalid discovery URL: %w", err)
		}
		t.document, t.elsewhere = strings.TrimSuffix(issuer.URL, "/")+"/.well-known/openid-configuration", discovery
	}
	return &http.Client{Transport: t, Timeout: clientTimeout}, func() {
		close(t.closed)
		base.CloseIdleConnections()
	}, nil
}

// transport keeps answers of an issuer within bounds, refuses to be sent to
// plain HTTP, reads the discovery document where the configuration says it is,
// and ends with the authenticator: go-oidc cancels no request for keys.
type transport struct {
	next      http.RoundTripper
	closed    chan struct{}
	document  string   // the URL that the discovery document has by its specification
	elsewhere *url.URL // where it is; nil: there
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlainHTTP
	}
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		defer cancel()
		select {
		case <-t.closed:
		case <-ctx.Done():
		}
	}()
	r = r.WithContext(ctx)
	if t.elsewhere != nil && r.URL.String() == t.document {
		r.URL, r.Host = t.elsewhere, ""
	}
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		cancel()
		return nil, err
	}
	answer.Body = &bounded{ReadCloser: answer.Body, left: maxAnswer, closed: cancel}
	return answer, nil
}

// bounded is a body that fails when it is too long.
type bounded struct {
	io.ReadCloser
	left   int
	closed func()
}

// Close implements [io.Closer].
func (b *bounded) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		// One byte more is too many; the end is not.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("the issuer's answer is longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// brief shortens an error that may hold a whole answer of an issuer.
func brief(err error) error {
	if text := err.Error(); len(text) > maxErrorText {
		return errors.New(strings.ToValidUTF8(text[:maxErrorText], "") + "…")
	}
	return err
}
