// Package difftest compares placement with kube-scheduler's own plugins, on
// thousands of generated clusters and pods: which nodes are refused and why,
// what the others score, and whom preemption would remove. It is a module of
// its own, so that upstream's scheduler is no dependency of Howdah.
package difftest
