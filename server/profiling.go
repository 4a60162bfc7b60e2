package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/go-chi/chi/v5"
)

// profiling serves Go's profiles where kube-apiserver has them. Who may see them
// is a matter of authorization, as for any other path.
func profiling(r chi.Router) {
	r.Handle("/debug/pprof", http.RedirectHandler("/debug/pprof/", http.StatusFound))
	r.HandleFunc("/debug/pprof/*", pprof.Index)
	r.HandleFunc("/debug/pprof/profile", pprof.Profile)
	r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	r.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
