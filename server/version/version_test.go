package version

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
	apiversion "k8s.io/apimachinery/pkg/version"
)

func TestHandler(t *testing.T) {
	handler, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/version", nil))
	var info apiversion.Info
	if err := json.Unmarshal(w.Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(w.Body.String(), "{\n  \"major\": \"1\",\n") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	parsed, err := version.ParseSemantic(info.GitVersion)
	if err != nil || parsed.Major() != 1 || parsed.Minor() != 37 || parsed.BuildMetadata() != "howdah" || parsed.PreRelease() != "" {
		t.Errorf("%s: %v", info.GitVersion, err)
	}
	if info.Minor != "37" || info.EmulationMinor != "37" || info.MinCompatibilityMinor != "36" || info.Platform == "" || info.GoVersion == "" || info.Compiler == "" {
		t.Errorf("%+v", info)
	}
}
