package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// FrontProxyOptions are the settings of proxies that say in headers who is
// calling
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy).
type FrontProxyOptions struct {
	ClientCAFile    string   // --requestheader-client-ca-file; empty: no proxy is believed
	AllowedNames    []string // --requestheader-allowed-names; empty: any
	UsernameHeaders []string // --requestheader-username-headers; the first with a value counts
	UIDHeaders      []string // --requestheader-uid-headers; likewise
	GroupHeaders    []string // --requestheader-group-headers; all values of all count
	ExtraPrefixes   []string // --requestheader-extra-headers-prefix
}

// Validate says, with the flag to change, what can't be.
func (o *FrontProxyOptions) Validate() error {
	for flag, values := range map[string][]string{
		"requestheader-allowed-names":        o.AllowedNames,
		"requestheader-username-headers":     o.UsernameHeaders,
		"requestheader-uid-headers":          o.UIDHeaders,
		"requestheader-group-headers":        o.GroupHeaders,
		"requestheader-extra-headers-prefix": o.ExtraPrefixes,
	} {
		if slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
			return fmt.Errorf("empty value in %q", flag)
		}
	}
	if len(o.UIDHeaders) > 0 && !slices.ContainsFunc(o.UIDHeaders, func(h string) bool { return strings.EqualFold(h, "X-Remote-Uid") }) {
		return errors.New("--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - API aggregation will not work")
	}
	if o.ClientCAFile != "" && len(o.UsernameHeaders) == 0 {
		return errors.New("--requestheader-client-ca-file lets proxies say who is calling; say in which header by --requestheader-username-headers, usually X-Remote-User")
	}
	return nil
}

// FrontProxy believes the headers of proxies that have a certificate of its
// authorities and one of the allowed names.
type FrontProxy struct {
	FrontProxyOptions
	Roots func() *x509.CertPool
}

// AuthenticateRequest implements [authenticator.Request].
func (p *FrontProxy) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	leaf := leafOf(r)
	if leaf == nil {
		return nil, false, nil
	}
	if v := verify(r, &connectionOf(r).proxy, p.Roots()); v.err != nil {
		return nil, false, v.err
	}
	if name := leaf.Subject.CommonName; len(p.AllowedNames) > 0 && !slices.Contains(p.AllowedNames, name) {
		return nil, false, fmt.Errorf("x509: subject with cn=%s is not in the allowed list", name)
	}
	name := firstValue(r.Header, p.UsernameHeaders)
	if name == "" {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{
		Name:   name,
		UID:    firstValue(r.Header, p.UIDHeaders),
		Groups: allValues(r.Header, p.GroupHeaders),
		Extra:  extraValues(r.Header, p.ExtraPrefixes),
	}}, true, nil
}

// RemoveHeaders removes what only a front proxy may say, whoever said it: the
// headers of the options and the usual ones.
func (o *FrontProxyOptions) RemoveHeaders(header http.Header) {
	for _, names := range [][]string{o.UsernameHeaders, o.UIDHeaders, o.GroupHeaders} {
		for _, name := range names {
			header.Del(name)
		}
	}
	for name := range header {
		if hasPrefixFold(name, "X-Remote-") || slices.ContainsFunc(o.ExtraPrefixes, func(prefix string) bool { return hasPrefixFold(name, prefix) }) {
			delete(header, name)
		}
	}
}

func firstValue(header http.Header, names []string) string {
	for _, name := range names {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

func allValues(header http.Header, names []string) []string {
	var all []string
	for _, name := range names {
		for _, value := range header.Values(name) {
			if value != "" {
				all = append(all, value)
			}
		}
	}
	return all
}

func extraValues(header http.Header, prefixes []string) map[string][]string {
	extra := map[string][]string{}
	for _, prefix := range prefixes {
		for name, values := range header {
			if hasPrefixFold(name, prefix) {
				key := ExtraKey(name[len(prefix):])
				extra[key] = append(extra[key], values...)
			}
		}
	}
	return extra
}

// ExtraKey is the key of a user's extra field that a header's name ends with:
// header names know no case and few characters, so it is lower case and others
// are percent-encoded.
func ExtraKey(encoded string) string {
	encoded = strings.ToLower(encoded)
	if key, err := url.PathUnescape(encoded); err == nil {
		return key
	}
	return encoded
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
