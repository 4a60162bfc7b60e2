// Package version owns what the server says of its version: that of the
// Kubernetes API it serves, so that clients' skew checks fit, and the build it is.
package version

import (
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"

	apiversion "k8s.io/apimachinery/pkg/version"
)

// Kubernetes is the release whose API is served; with the suffix it is our
// GitVersion.
const (
	Kubernetes = "v1.37.2"
	suffix     = "+howdah"
	major      = "1"
	minor      = "37"
	// A kube-apiserver of this release works beside one of the release before.
	minCompatibleMinor = "36"
)

// Set by the linker in builds without version control information:
//
//	go build -ldflags "-X github.com/howdah/howdah/server/version.commit=... -X github.com/howdah/howdah/server/version.date=..."
var (
	commit string // full hash
	date   string // RFC 3339
)

// Info is the answer to /version.
func Info() apiversion.Info {
	info := apiversion.Info{
		Major:                 major,
		Minor:                 minor,
		EmulationMajor:        major,
		EmulationMinor:        minor,
		MinCompatibilityMajor: major,
		MinCompatibilityMinor: minCompatibleMinor,
		GitVersion:            Kubernetes + suffix,
		GitCommit:             commit,
		GitTreeState:          "clean",
		BuildDate:             date,
		GoVersion:             runtime.Version(),
		Compiler:              runtime.Compiler,
		Platform:              runtime.GOOS + "/" + runtime.GOARCH,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok || commit != "" {
		return info
	}
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.GitCommit = setting.Value
		case "vcs.time":
			if date == "" {
				info.BuildDate = setting.Value
			}
		case "vcs.modified":
			if setting.Value == "true" {
				info.GitTreeState = "dirty"
			}
		}
	}
	return info
}

// Handler serves /version.
func Handler() (http.Handler, error) {
	body, err := json.MarshalIndent(Info(), "", "  ")
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}), nil
}
