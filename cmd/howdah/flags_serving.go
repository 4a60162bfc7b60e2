package main

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"github.com/howdah/howdah/auth/pki"
	"github.com/howdah/howdah/server"
)

// servingFlags say how HTTPS is spoken.
type servingFlags struct {
	sni        []cliflag.NamedCertKey
	minVersion string
	suites     []string
	curves     []int32
	maxStreams int
	strict     []string
}

func (f *servingFlags) add(flags *pflag.FlagSet) {
	flags.Var(cliflag.NewNamedCertKeyArray(&f.sni), "tls-sni-cert-key", "CERTFILE,KEYFILE[:NAME,NAME] of a further serving certificate for clients that ask for one of its names, by default those in it; names may begin with *. ; may be given several times; read again when it changes")
	flags.StringVar(&f.minVersion, "tls-min-version", "", "least version of TLS: VersionTLS12 (the default) or VersionTLS13")
	flags.StringSliceVar(&f.suites, "tls-cipher-suites", nil, "cipher suites of TLS 1.2, by default Go's. Preferred: "+strings.Join(cliflag.PreferredTLSCipherNames(), ", ")+". Insecure: "+strings.Join(cliflag.InsecureTLSCipherNames(), ", "))
	flags.Int32SliceVar(&f.curves, "tls-curve-preferences", nil, "key exchanges of TLS, as numbers of Go's crypto/tls.CurveID; by default Go's")
	flags.IntVar(&f.maxStreams, "http2-max-streams-per-connection", 0, "how many requests at once an HTTP/2 connection may have; 0 for 100")
	flags.StringSliceVar(&f.strict, "strict-transport-security-directives", nil, "directives of the Strict-Transport-Security header, such as max-age=31536000,includeSubDomains,preload; by default there is none")
}

func (f *servingFlags) options() (server.ServingOptions, error) {
	o := server.ServingOptions{MaxStreams: f.maxStreams, StrictTransport: f.strict}
	for _, one := range f.sni {
		o.SNI = append(o.SNI, pki.NamedCertificate{CertFile: one.CertFile, KeyFile: one.KeyFile, Names: one.Names})
	}
	var err error
	if o.Protocol.MinVersion, err = cliflag.TLSVersion(f.minVersion); err != nil {
		return o, fmt.Errorf("--tls-min-version: %w", err)
	}
	if o.Protocol.MinVersion < tls.VersionTLS12 {
		return o, fmt.Errorf("--tls-min-version is %s: versions before VersionTLS12 are not safe and not served", f.minVersion)
	}
	if len(f.suites) > 0 {
		if o.Protocol.CipherSuites, err = cliflag.TLSCipherSuites(f.suites); err != nil {
			return o, fmt.Errorf("--tls-cipher-suites: %w", err)
		}
	}
	if len(f.curves) > 0 {
		if o.Protocol.CurvePreferences, err = cliflag.TLSCurvePreferences(f.curves); err != nil {
			return o, fmt.Errorf("--tls-curve-preferences: %w", err)
		}
	}
	return o, nil
}
