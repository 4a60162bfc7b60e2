package server

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	genericfilters "k8s.io/apiserver/pkg/server/filters"
)

// cors lets scripts of the allowed origins call (https://fetch.spec.whatwg.org), and
// answers what browsers ask before.
func (s *Server) cors(next http.Handler) http.Handler {
	return genericfilters.WithCORS(next, s.options.CORSOrigins, nil, nil, nil, "true")
}

// checkOrigins refuses expressions that match more hosts than they seem to
// (CVE-2022-1996), as kube-apiserver does.
func checkOrigins(expressions []string) error {
	const flag = "--cors-allowed-origins"
	for _, expression := range expressions {
		if expression == "" {
			return errors.New("empty value in " + flag)
		}
		if _, err := regexp.Compile(expression); err != nil {
			return fmt.Errorf("%s has an invalid regular expression: %w", flag, err)
		}
		begins := strings.Contains(expression, "^") || strings.Contains(expression, "//")
		ends := strings.Contains(expression, "$") || strings.Contains(expression, ":")
		if !begins || !ends {
			return fmt.Errorf("%s has an invalid regular expression: regular expression does not pin to start/end of host in the origin header: write ^ or // before the host of %q, and $ or : after it", flag, expression)
		}
	}
	return nil
}
