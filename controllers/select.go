package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Names are the controllers' names, sorted, and which of them run only when
// named, as --controllers takes them.
func Names() (all, offByDefault []string) {
	for _, row := range table(&Options{}) {
		all = append(all, row.name)
		if row.offByDefault {
			offByDefault = append(offByDefault, row.name)
		}
	}
	slices.Sort(all)
	slices.Sort(offByDefault)
	return all, offByDefault
}

// selected are the rows that --controllers asks for. The first mention of a
// name decides: NAME turns it on, -NAME off; * turns on what is on by default.
func (o *Options) selected() ([]row, error) {
	rows := table(o)
	asked := o.Config.Generic.Controllers
	canonical := map[string]string{"*": "*"}
	for _, r := range rows {
		canonical[r.name] = r.name
		for _, alias := range r.aliases {
			canonical[alias] = r.name
		}
	}
	on := map[string]bool{}
	var errs []error
	for _, word := range asked {
		name, off := strings.CutPrefix(word, "-")
		known, ok := canonical[name]
		if !ok || off && known == "*" {
			errs = append(errs, fmt.Errorf("%q is not in the list of known controllers", name))
		} else if _, decided := on[known]; !decided {
			on[known] = !off
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("--controllers: %w", errors.Join(errs...))
	}
	return slices.DeleteFunc(rows, func(r row) bool {
		if wanted, named := on[r.name]; named {
			return !wanted
		}
		return !on["*"] || r.offByDefault
	}), nil
}
