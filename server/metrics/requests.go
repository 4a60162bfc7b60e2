package metrics

import (
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"github.com/howdah/howdah/server/resource"
)

// Arrival is what [Serve] and [Path] look for in a request's context, key and
// value: when it arrived, which is now, and whether it is long-running.
func Arrival(longRunning bool) (key, value any) {
	return arrivalKey{}, &arrival{at: time.Now(), longRunning: longRunning}
}

type arrival struct {
	at          time.Time
	longRunning bool
}

type arrivalKey struct{}

// Serve lets the handler serve a request to the row, and records it.
func Serve(w http.ResponseWriter, r *http.Request, row *resource.Resource, handler http.Handler) {
	info, _ := request.RequestInfoFrom(r.Context())
	a, ok := r.Context().Value(arrivalKey{}).(*arrival)
	if !ok {
		a = &arrival{at: time.Now()}
	}
	counted, w := count(w, r)
	if a.longRunning {
		metrics.RecordLongRunning(r, info, metrics.APIServerComponent, func() { handler.ServeHTTP(w, r) })
	} else {
		handler.ServeHTTP(w, r)
	}
	deprecated := row.RemovedRelease != "" || len(row.Warnings) > 0
	metrics.MonitorRequest(r, methods[info.Verb], row.Group, row.Version, row.Resource, row.Subresource, metrics.CleanScope(info),
		metrics.APIServerComponent, deprecated, row.RemovedRelease, counted.code(), counted.size, time.Since(a.at))
}

// methods are what upstream's routes of these verbs are registered as.
var methods = map[string]string{
	"get":   metrics.MethodGet,
	"list":  metrics.MethodList,
	"watch": metrics.MethodWatch,
}

// Path returns a handler that records requests to a path that is not a
// resource's. The component is "apiserver" or, for health checks and OpenAPI,
// empty.
func Path(path, component string, handler http.Handler) http.Handler {
	metrics.Register()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if a, ok := r.Context().Value(arrivalKey{}).(*arrival); ok {
			began = a.at
		}
		counted, w := count(w, r)
		handler.ServeHTTP(w, r)
		metrics.MonitorRequest(r, metrics.MethodGet, "", "", "", path, "", component, false, "", counted.code(), counted.size, time.Since(began))
	})
}

// A writer counts what is written to an answer.
type writer struct {
	http.ResponseWriter
	status, size int
}

// count returns a writer, and the same as what the handler is to write to.
func count(w http.ResponseWriter, r *http.Request) (*writer, http.ResponseWriter) {
	counted := &writer{ResponseWriter: w}
	if r.ProtoMajor == 1 {
		return counted, responsewriter.WrapForHTTP1Or2(counted) // keeps the connection open to upgrades
	}
	return counted, counted
}

func (w *writer) code() int {
	if w.status == 0 {
		return http.StatusOK // nothing was written
	}
	return w.status
}

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for those who ask for an [http.Flusher].
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is for [http.ResponseController].
func (w *writer) FlushError() error { return http.NewResponseController(w.ResponseWriter).Flush() }
