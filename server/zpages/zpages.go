// Package zpages owns the pages by which operators see what a running component is
// (/statusz, KEP-4827) and how it was started (/flagz, KEP-4828). What they say, and
// in which formats, is upstream's code.
package zpages

import (
	"net/http"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/server/flagz"
	"k8s.io/apiserver/pkg/server/statusz"
	"k8s.io/apiserver/pkg/util/compatibility"
	cliflag "k8s.io/component-base/cli/flag"
)

// Paths are the pages that [Install] adds.
func Paths(flags flagz.Reader) []string {
	if flags == nil {
		return []string{statusz.DefaultStatuszPath}
	}
	return []string{flagz.DefaultFlagzPath, statusz.DefaultStatuszPath}
}

// Install adds the pages of a component to a mux. Paths are the component's others,
// which /statusz names; there is no /flagz without flags.
func Install(mux interface{ Handle(string, http.Handler) }, component string, flags flagz.Reader, paths []string) {
	if flags != nil {
		flagz.Install(mux, component, flags)
		paths = append(slices.Clone(paths), flagz.DefaultFlagzPath)
		slices.Sort(paths)
	}
	version := compatibility.DefaultBuildEffectiveVersion()
	statusz.Install(mux, component, statusz.NewRegistry(version, statusz.WithListedPaths(paths)))
}

// Flags shows the values of a command's flags; of those that are secret only that
// they are.
func Flags(flags *pflag.FlagSet, secret ...string) flagz.Reader {
	for _, name := range secret {
		if flags.SetAnnotation(name, "classified", []string{"true"}) != nil {
			panic("no flag --" + name) // whose secret this is
		}
	}
	return flagz.NamedFlagSetsReader{FlagSets: cliflag.NamedFlagSets{FlagSets: map[string]*pflag.FlagSet{"": flags}}}
}
