package main

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/auth/pki"
	"github.com/howdah/howdah/server"
)

func parse(t *testing.T, arguments ...string) (*serverFlags, error) {
	t.Helper()
	f := &serverFlags{}
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	f.add(flags)
	return f, flags.Parse(arguments)
}

func TestServerFlags(t *testing.T) {
	t.Setenv(endpointVariable, "")
	f, err := parse(t, "--data-dir=/data", "--tls-san=a.example.org,192.0.2.1", "--tls-san=b.example.org",
		"--service-cluster-ip-range=10.96.0.0/16,fd00::/112", "--service-node-port-range=30000-30099",
		"--runtime-config=api/alpha=true,batch/v1=false", "--min-request-timeout=60", "--history-max-bytes=20Gi")
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	if len(o.TLSSANs) != 3 || len(o.ServiceClusterIPRanges) != 2 || o.ServiceNodePortRange.Size != 100 ||
		o.RuntimeConfig["api/alpha"] != "true" || o.RuntimeConfig["batch/v1"] != "false" || o.MinRequestTimeout != time.Minute ||
		o.HistoryMaxBytes != 20<<30 || o.SecurePort != 6443 || o.EventTTL != time.Hour || o.DatastoreEndpoint != "" {
		t.Errorf("%+v", o)
	}

	t.Setenv(endpointVariable, "postgres://environment")
	if o, err = f.options(); err != nil || o.DatastoreEndpoint != "postgres://environment" {
		t.Errorf("endpoint %q from the environment: %v", o.DatastoreEndpoint, err)
	}
	f.datastoreEndpoint = "postgres://flag"
	if o, err = f.options(); err != nil || o.DatastoreEndpoint != "postgres://flag" {
		t.Errorf("endpoint %q from the flag: %v", o.DatastoreEndpoint, err)
	}
}

func TestServerFlagErrors(t *testing.T) {
	for argument, want := range map[string]string{
		"--service-cluster-ip-range=10.0.0.0":                 "invalid CIDR address",
		"--service-cluster-ip-range=10.0.0.0/30":              "at least 8 addresses",
		"--service-cluster-ip-range=fd00::/32":                "larger than a /64",
		"--service-cluster-ip-range=10.0.0.0/24,10.1.0.0/24":  "one is IPv4 and the other IPv6",
		"--service-cluster-ip-range=10.0.0.0/24,fd00::/112,,": "invalid CIDR address",
		"--event-ttl=0s":                 "--event-ttl must be more than 0",
		"--history-retention=-1s":        "--history-retention must be more than 0",
		"--min-request-timeout=0":        "--min-request-timeout",
		"--shutdown-delay-duration=-1s":  "can't be negative",
		"--tls-min-version=VersionTLS9":  `unknown tls version "VersionTLS9"`,
		"--tls-min-version=VersionTLS11": "versions before VersionTLS12 are not safe",
		"--tls-cipher-suites=TLS_X":      "Cipher suite TLS_X not supported or doesn't exist",
		"--tls-curve-preferences=77":     "--tls-curve-preferences",
	} {
		f, err := parse(t, argument)
		if err != nil {
			t.Errorf("%s: %v", argument, err)
			continue
		}
		if _, err := f.options(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", argument, err, want)
		}
	}
	for _, f := range []logFlags{{level: "loud", format: "text"}, {level: "info", format: "xml"}} {
		if _, err := f.logger(t.Output()); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}

func TestTokenFlags(t *testing.T) {
	t.Setenv(endpointVariable, "")
	options := func(arguments ...string) server.Options {
		t.Helper()
		f, err := parse(t, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		o, err := f.options()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := options()
	if o.TokenIssuers.OIDC.Set || o.TokenIssuers.AnonymousFlag || o.TokenIssuers.OIDC.UsernameClaim != "sub" ||
		o.TokenWebhook.Version != "v1beta1" || o.TokenWebhook.CacheTTL != 2*time.Minute {
		t.Errorf("the defaults are %+v, %+v", o.TokenIssuers, o.TokenWebhook)
	}
	o = options("--oidc-required-claim=a=b=c", "--oidc-required-claim=d=e", "--anonymous-auth=true")
	if claims := o.TokenIssuers.OIDC.RequiredClaims; !o.TokenIssuers.OIDC.Set || !o.TokenIssuers.AnonymousFlag || claims["a"] != "b=c" || claims["d"] != "e" {
		t.Errorf("%+v", o.TokenIssuers)
	}
}

func TestServingFlags(t *testing.T) {
	t.Setenv(endpointVariable, "")
	f, err := parse(t, "--tls-sni-cert-key=a.crt,a.key:*.example.org,example.org", "--tls-sni-cert-key=b.crt,b.key",
		"--tls-min-version=VersionTLS13", "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "--tls-curve-preferences=29",
		"--http2-max-streams-per-connection=7", "--strict-transport-security-directives=max-age=1,includeSubDomains")
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	want := server.ServingOptions{
		SNI:             []pki.NamedCertificate{{CertFile: "a.crt", KeyFile: "a.key", Names: []string{"*.example.org", "example.org"}}, {CertFile: "b.crt", KeyFile: "b.key"}},
		Protocol:        pki.Protocol{MinVersion: tls.VersionTLS13, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, CurvePreferences: []tls.CurveID{tls.X25519}},
		MaxStreams:      7,
		StrictTransport: []string{"max-age=1", "includeSubDomains"},
	}
	if diff := cmp.Diff(want, o.Serving, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestCredentialFlags(t *testing.T) {
	f, err := parse(t, "--anonymous-auth=false", "--api-audiences=a,b", "--service-account-issuer=https://new", "--service-account-issuer=https://old",
		"--service-account-lookup=false", "--service-account-extend-token-expiration", "--service-account-max-token-expiration=24h",
		"--enable-bootstrap-token-auth", "--requestheader-allowed-names=x,y", "--requestheader-username-headers=X-Remote-User")
	if err != nil {
		t.Fatal(err)
	}
	o := f.authentication.options
	if !o.DisableAnonymous || len(o.APIAudiences) != 2 || len(o.ServiceAccounts.Issuers) != 2 || !o.ServiceAccounts.DontLookup || o.ServiceAccounts.DontExtend ||
		o.ServiceAccounts.MaxExpiration != 24*time.Hour || !o.BootstrapTokens || len(o.FrontProxy.AllowedNames) != 2 {
		t.Errorf("%+v", o)
	}
	if f, err = parse(t); err != nil || f.authentication.options.DisableAnonymous || f.authentication.options.ServiceAccounts.DontLookup || f.authentication.options.BootstrapTokens {
		t.Errorf("without flags: %+v %v", f.authentication.options, err)
	}
	if _, err := parse(t, "--anonymous-auth=perhaps"); err == nil {
		t.Error("--anonymous-auth=perhaps is accepted")
	}
}
