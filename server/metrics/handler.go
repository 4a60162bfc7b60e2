package metrics

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apiserver/pkg/endpoints/metrics"
	etcdmetrics "k8s.io/apiserver/pkg/storage/etcd3/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/prometheus/slis"

	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/server/version"
)

// Sources are where a server's own metrics come from.
type Sources struct {
	// Table has the resources whose objects are counted.
	Table *resource.Table
	// Size is that of the database; asked at each scrape.
	Size func(context.Context) (int64, error)
	// Collectors are further metrics of the server, such as the store's.
	Collectors []prometheus.Collector
}

// Handler serves /metrics: the process's metrics and the server's own. DELETE
// sets the process's counts to zero.
func Handler(s Sources) (http.Handler, error) {
	metrics.Register()
	etcdmetrics.Register()
	own := prometheus.NewRegistry()
	collectors := append([]prometheus.Collector{buildInfo(), &stored{table: s.Table, size: s.Size}}, s.Collectors...)
	for _, collector := range collectors {
		if err := own.Register(collector); err != nil {
			return nil, fmt.Errorf("register the server's metrics: %w", err)
		}
	}
	scrape := promhttp.HandlerFor(prometheus.Gatherers{legacyregistry.DefaultGatherer, own},
		promhttp.HandlerOpts{ProcessStartTime: legacyregistry.GetProcessStart()})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			legacyregistry.Reset()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = io.WriteString(w, "metrics reset\n")
			return
		}
		scrape.ServeHTTP(w, r)
	}), nil
}

// SLIs serves /metrics/slis: the outcomes of the health checks.
func SLIs() http.Handler {
	slis.Register(slis.Registry) // once more does nothing
	return promhttp.HandlerFor(slis.Registry, promhttp.HandlerOpts{})
}

func buildInfo() prometheus.Collector {
	info := version.Info()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubernetes_build_info",
		Help: "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
		ConstLabels: prometheus.Labels{
			"major": info.Major, "minor": info.Minor, "git_version": info.GitVersion, "git_commit": info.GitCommit,
			"git_tree_state": info.GitTreeState, "build_date": info.BuildDate, "go_version": info.GoVersion,
			"compiler": info.Compiler, "platform": info.Platform,
		},
	})
	gauge.Set(1)
	return gauge
}
