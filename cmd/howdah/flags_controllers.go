package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/util/cert"

	"github.com/howdah/howdah/controllers"
)

// controllerFlags are the flags of the controllers, wherever they run. They
// carry kube-controller-manager's names, meanings and defaults.
type controllerFlags struct {
	defaults   *controllers.Options
	err        error // of making the defaults
	rootCAFile string
}

func (f *controllerFlags) add(flags *pflag.FlagSet) {
	if f.defaults, f.err = controllers.DefaultOptions(); f.err != nil {
		f.defaults = &controllers.Options{}
	}
	c := &f.defaults.Config
	all, off := controllers.Names()
	flags.StringSliceVar(&c.Generic.Controllers, "controllers", c.Generic.Controllers, "controllers to run: NAME runs it, -NAME doesn't, * runs all that are on by default.\nAll: "+
		strings.Join(all, ", ")+".\nOff by default: "+strings.Join(off, ", "))
	addWorkloadFlags(flags, c)
	flags.StringVar(&f.rootCAFile, "root-ca-file", "", "certificates by which pods trust the API server, published in every namespace; by default those by which this process trusts it")
}

func (f *controllerFlags) options() (*controllers.Options, error) {
	if f.err != nil {
		return nil, f.err
	}
	o := *f.defaults
	if f.rootCAFile != "" {
		var err error
		if o.RootCA, err = os.ReadFile(f.rootCAFile); err != nil {
			return nil, fmt.Errorf("read --root-ca-file: %w", err)
		}
		if _, err := cert.ParseCertsPEM(o.RootCA); err != nil {
			return nil, fmt.Errorf("--root-ca-file %s: %w", f.rootCAFile, err)
		}
	}
	return &o, o.Validate()
}
