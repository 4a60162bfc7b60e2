package main

import "strconv"

// negated is a flag that is true unless said otherwise, on an option whose zero
// value is the default.
type negated struct{ off *bool }

func (n negated) String() string { return strconv.FormatBool(n.off == nil || !*n.off) }

func (n negated) Set(text string) error {
	on, err := strconv.ParseBool(text)
	*n.off = err == nil && !on
	return err
}

func (n negated) Type() string { return "bool" }
