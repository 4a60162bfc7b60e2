package server

import (
	"encoding/json"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server/zpages"
)

// index lists the paths that this server has.
func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	paths := append(a.paths(), zpages.Paths(a.flags)...)
	slices.Sort(paths)
	body, err := json.MarshalIndent(metav1.RootPaths{Paths: paths}, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// paths are those that the index lists, but for [zpages.Paths], in order.
func (a *api) paths() []string {
	paths := []string{"/apis", "/apis/", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/version"}
	paths = append(paths, a.authentication.paths()...)
	for _, endpoint := range []string{"healthz", "livez", "readyz"} {
		paths = append(paths, "/"+endpoint)
		for _, check := range a.health.Names(endpoint) {
			paths = append(paths, "/"+endpoint+"/"+check)
		}
	}
	for _, group := range a.table.Groups() {
		for _, v := range group.Versions {
			if group.Name == "" {
				paths = append(paths, "/api", "/api/"+v.Version)
				continue
			}
			paths = append(paths, "/apis/"+group.Name, "/apis/"+group.Name+"/"+v.Version)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
