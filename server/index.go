package server

import (
	"encoding/json"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// index lists the paths that this server has.
func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	paths := []string{"/apis", "/apis/", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/readyz", "/version"}
	paths = append(paths, a.authentication.paths()...)
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
	body, err := json.MarshalIndent(metav1.RootPaths{Paths: slices.Compact(paths)}, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
