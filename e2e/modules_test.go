package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// moduleDir is a directory of the source of a module: of path@version, which is
// fetched, or of the version in go.mod.
func moduleDir(t *testing.T, module string, inside ...string) string {
	t.Helper()
	command := exec.Command("go", "mod", "download", "-json", module)
	if strings.Contains(module, "@") {
		command.Dir = t.TempDir() // in no module, whose go.mod has nothing to do with it
	}
	output, err := command.Output()
	var found struct{ Dir, Error string }
	if decoding := json.Unmarshal(output, &found); decoding != nil || found.Dir == "" {
		t.Fatalf("%s: %v %v %s", command, err, decoding, output)
	}
	return filepath.Join(append([]string{found.Dir}, inside...)...)
}
