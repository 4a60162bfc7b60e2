package placement

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Status says why a plugin refuses a node, or all of them.
type Status struct {
	Plugin string
	// Unresolvable: it would refuse whatever pods were removed from the node.
	Unresolvable bool
	Reasons      []string
	// Err is set when the plugin could not tell; the pod is to be tried again.
	Err error
}

// Code is kube-scheduler's word for it.
func (s *Status) Code() string {
	switch {
	case s == nil:
		return "Success"
	case s.Err != nil:
		return "Error"
	case s.Unresolvable:
		return "UnschedulableAndUnresolvable"
	}
	return "Unschedulable"
}

// A Diagnosis explains why no node takes a pod.
type Diagnosis struct {
	// Nodes is by index in the cluster's array; nil where Rest applies.
	Nodes []*Status
	// Rest applies to the nodes that no plugin looked at.
	Rest *Status
	// Before is set when a plugin refused the pod before any node was looked at.
	Before *Status
	// Plugins are those that refused, by name.
	Plugins map[string]bool
	// AfterMessage tells what preemption found.
	AfterMessage string

	count    int // of nodes
	prepared []ready
}

// Unblock lets plugins give up what the pod has. It returns what they did, in
// words.
func (d *Diagnosis) Unblock(ctx context.Context) ([]string, error) {
	var done []string
	for _, r := range d.prepared {
		if unblocker, ok := r.Prepared.(Unblocker); ok && unblocker.CanUnblock() {
			text, err := unblocker.Unblock(ctx)
			if err != nil {
				return done, err
			}
			if text != "" {
				done = append(done, text)
			}
		}
	}
	return done, nil
}

// CanUnblock tells whether a plugin has something to give up.
func (d *Diagnosis) CanUnblock() bool {
	return slices.ContainsFunc(d.prepared, func(r ready) bool {
		unblocker, ok := r.Prepared.(Unblocker)
		return ok && unblocker.CanUnblock()
	})
}

func (d *Diagnosis) of(index int) *Status {
	if d.Before != nil {
		return d.Before
	}
	if d.Nodes != nil && d.Nodes[index] != nil {
		return d.Nodes[index]
	}
	return d.Rest
}

func (d *Diagnosis) refused(status *Status) {
	if d.Plugins == nil {
		d.Plugins = map[string]bool{}
	}
	if status.Plugin != "" {
		d.Plugins[status.Plugin] = true
	}
}

// String is kube-scheduler's message, as in "0/3 nodes are available: ...".
func (d *Diagnosis) String() string {
	if d.count == 0 && d.Before != nil {
		return strings.Join(d.Before.Reasons, ", ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "0/%d nodes are available:", d.count)
	if d.Before != nil {
		if message := strings.Join(d.Before.Reasons, ", "); message != "" {
			fmt.Fprintf(&b, " %s.", message)
		}
	} else if reasons := d.reasons(); len(reasons) > 0 {
		fmt.Fprintf(&b, " %s.", strings.Join(reasons, ", "))
	}
	if d.AfterMessage != "" {
		b.WriteString(" " + d.AfterMessage)
	}
	return b.String()
}

func (d *Diagnosis) reasons() []string {
	counts := map[string]int{}
	for i := range d.count {
		if status := d.of(i); status != nil {
			for _, reason := range status.Reasons {
				counts[reason]++
			}
		}
	}
	var texts []string
	for reason, n := range counts {
		texts = append(texts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(texts)
	return texts
}

// Refused is a diagnosis of a pod that one plugin refuses.
func Refused(status *Status) *Diagnosis {
	d := &Diagnosis{Before: status, count: 1}
	d.refused(status)
	return d
}

// Err is why it could not be told whether a node takes the pod.
func (d *Diagnosis) Err() error {
	if d.Before != nil {
		return d.Before.Err
	}
	return nil
}

// Empty tells whether there were no nodes at all.
func (d *Diagnosis) Empty() bool { return d.count == 0 }
