package health

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"k8s.io/component-base/metrics/prometheus/slis"
)

// Handler answers for one endpoint, "healthz", "livez" or "readyz", and for the
// single checks below it (/readyz/etcd).
func (c *Checks) Handler(endpoint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checks := c.of(endpoint)
		name, single := strings.CutPrefix(r.URL.Path, "/"+endpoint+"/")
		if !single {
			c.serveAll(w, r, endpoint, checks)
			return
		}
		for _, check := range checks {
			if check.name == name {
				serveOne(w, r, check)
				return
			}
		}
		http.NotFound(w, r)
	})
}

func serveOne(w http.ResponseWriter, r *http.Request, check check) {
	if err := check.run(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("internal server error: %v", err), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "ok")
}

func (c *Checks) serveAll(w http.ResponseWriter, r *http.Request, endpoint string, checks []check) {
	query := r.URL.Query()
	excluded := map[string]bool{} // name: whether there is such a check
	for _, name := range query["exclude"] {
		excluded[name] = false
	}
	var report bytes.Buffer
	failed := false
	for _, check := range checks {
		if _, exclude := excluded[check.name]; exclude {
			excluded[check.name] = true
			fmt.Fprintf(&report, "[+]%s excluded: ok\n", check.name)
			continue
		}
		if err := check.run(r.Context()); err != nil {
			failed = true
			slis.ObserveHealthcheck(r.Context(), check.name, endpoint, slis.Error)
			level := slog.LevelInfo
			if errors.Is(err, ErrNotFinished) {
				level = slog.LevelDebug
			}
			c.log.Log(r.Context(), level, "health check failed", "endpoint", endpoint, "check", check.name, "err", err)
			fmt.Fprintf(&report, "[-]%s failed: reason withheld\n", check.name)
			continue
		}
		slis.ObserveHealthcheck(r.Context(), check.name, endpoint, slis.Success)
		fmt.Fprintf(&report, "[+]%s ok\n", check.name)
	}
	if unknown := unmatched(excluded); len(unknown) > 0 {
		fmt.Fprintf(&report, "warn: some health checks cannot be excluded: no matches for %s\n", strings.Join(unknown, ","))
	}
	if failed {
		http.Error(w, report.String()+endpoint+" check failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !query.Has("verbose") {
		fmt.Fprint(w, "ok")
		return
	}
	report.WriteTo(w)
	fmt.Fprintf(w, "%s check passed\n", endpoint)
}

// unmatched returns the quoted names of excluded checks that do not exist.
func unmatched(excluded map[string]bool) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(excluded)) {
		if !excluded[name] {
			names = append(names, strconv.Quote(name))
		}
	}
	return names
}
