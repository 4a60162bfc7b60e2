package main

import (
	"strconv"

	"github.com/spf13/pflag"
)

// negated is a flag that is true unless said otherwise, on an option whose zero
// value is the default.
type negated struct{ off *bool }

func addNegated(flags *pflag.FlagSet, off *bool, name, usage string) {
	flags.Var(negated{off}, name, usage)
	flags.Lookup(name).NoOptDefVal = "true"
}

func (n negated) String() string { return strconv.FormatBool(n.off == nil || !*n.off) }

func (n negated) Set(text string) error {
	on, err := strconv.ParseBool(text)
	*n.off = err == nil && !on
	return err
}

func (n negated) Type() string { return "bool" }
