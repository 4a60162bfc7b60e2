package read

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/storage"
)

func TestGetIsUpstreams(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.createPods(2)
	row := s.row(pods())
	ctx := request.WithNamespace(context.Background(), "bench-01")
	for _, accept := range []string{
		"", protobufType, jsonType, "application/yaml", jsonType + ";pretty=1", tableType,
		strings.Replace(jsonType+partials, "List", "", 1), strings.Replace(protobufType+partials, "List", "", 1), "*/*",
	} {
		obj, err := row.Storage.(rest.Getter).Get(ctx, podName(1), &metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		want := httptest.NewRecorder()
		encode.Object(want, r, row, http.StatusOK, obj)
		path := "/api/v1/namespaces/bench-01/pods/" + podName(1)
		for _, query := range []string{"", "?resourceVersion=0", "?resourceVersion=2"} {
			got := s.ask(path+query, "Accept", accept)
			if got.Code != http.StatusOK || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
				t.Errorf("%s as %q: %d\n got %s\nwant %s", query, accept, got.Code, around(got.Body.Bytes(), want.Body.Bytes()), around(want.Body.Bytes(), got.Body.Bytes()))
			}
		}
		if accept != tableType && !bytes.Equal(s.must(path+"/status", "Accept", accept), want.Body.Bytes()) {
			t.Errorf("status as %q", accept)
		}
	}
}

func TestGetRefusals(t *testing.T) {
	s := newServer(t, storage.Options{})
	for _, c := range []struct {
		url     string
		code    int
		reason  metav1.StatusReason
		message string
	}{
		{"/api/v1/namespaces/a/pods/none", 404, "NotFound", `pods "none" not found`},
		{"/apis/apps/v1/namespaces/a/deployments/none", 404, "NotFound", `deployments.apps "none" not found`},
		{"/api/v1/namespaces/a/pods/none?resourceVersion=x", 500, "", `resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{"/api/v1/namespaces/a/pods/none?export=true", 400, "BadRequest", `the export parameter, deprecated since v1.14, is no longer supported`},
		{"/api/v1/namespaces/a/pods/50%25", 400, "BadRequest", `Name parameter invalid: "50%": may not contain '%'`},
	} {
		w := s.ask(c.url)
		var status metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.code || status.Reason != c.reason || status.Message != c.message {
			t.Errorf("%s: %d %s", c.url, w.Code, w.Body)
		}
		if w.Header().Get("Cache-Control") != "no-cache, private" {
			t.Errorf("%s: %v", c.url, w.Header())
		}
	}
	// A client that takes no form of Status gets it as JSON.
	w := s.ask("/api/v1/namespaces/a/pods/none", "Accept", tableType)
	if w.Code != http.StatusNotFound || !strings.HasPrefix(w.Body.String(), "{\n  \"kind\": \"Status\"") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
