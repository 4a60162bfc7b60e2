package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Programs under test. TestMain builds them, unless the environment names
// others: an older release, or the kubectl of a distribution.
var (
	howdah  = os.Getenv("HOWDAH_E2E_HOWDAH")
	kubectl = os.Getenv("HOWDAH_E2E_KUBECTL")
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "howdah-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		programs = dir
		// kubectl compares the server's version with its own.
		const version = "-X k8s.io/component-base/version."
		for _, program := range []struct {
			path                 *string
			module, pkg, ldflags string
		}{
			{&howdah, "..", "./cmd/howdah", ""},
			{&kubectl, ".", "./kubectl", version + "gitVersion=v1.37.2 " + version + "gitMajor=1 " + version + "gitMinor=37"},
		} {
			if *program.path != "" {
				continue
			}
			*program.path = filepath.Join(dir, filepath.Base(program.pkg))
			build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", program.ldflags, "-o", *program.path, program.pkg)
			build.Dir, build.Stdout, build.Stderr = program.module, os.Stderr, os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintln(os.Stderr, build, err)
				return 1
			}
		}
		return m.Run()
	}())
}
