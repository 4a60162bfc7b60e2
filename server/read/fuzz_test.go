package read

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/storage"
)

// FuzzQuery gives lists and watches any query and Accept header: there is always
// an answer, and what is refused is a Status.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"", "limit=1", "watch=true", "watch=1&resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=1",
		"watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "resourceVersion=0&limit=-1",
		"limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJiZW5jaC0wMC9hXHUwMDAwIn0", // a real one
		"labelSelector=a+in+(b,c),!d,e!=f", "fieldSelector=spec.nodeName%3Da,metadata.name!%3Db", "resourceVersionMatch=Exact&resourceVersion=1",
		"fieldSelector=metadata.name%3D..", "includeObject=Object", "pretty=1",
	} {
		f.Add(query, jsonType)
		f.Add(query, tableType)
		f.Add(query, protobufType+partials)
	}
	s := newServer(f, storage.Options{})
	s.createPods(3)
	f.Fuzz(func(t *testing.T, query, accept string) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/pods", nil)
		r.URL.RawQuery = query
		r.Header.Set("Accept", accept)
		r = withInfo(r)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 406, 410, 422, 500, 504:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK || w.Header().Get("Content-Type") != jsonType {
			return
		}
		var status metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil || int(status.Code) != w.Code {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Code == 500 && (r.URL.Query().Get("watch") == "" || r.URL.Query().Get("resourceVersion") == "") {
			t.Fatalf("an internal error: %s", w.Body)
		}
	})
}
