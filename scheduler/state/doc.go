// Package state owns what a scheduler knows of nodes and of the pods on them,
// in the form in which placement decisions read it: arrays of nodes, sums of
// requests kept up to date, terms and selectors parsed once.
//
// Nothing here runs by itself, reads a clock or locks: the caller applies one
// change after the other and reads in between. Each change of a node is noted
// in a log of changes, so that whoever derived something from the nodes
// ([Cluster.ChangedSince]) derives anew only what changed.
//
// A [Pod] is immutable once made. A [Node] belongs to its [Cluster] and changes
// with it; decisions about "what if" use a [Node.Clone].
package state
