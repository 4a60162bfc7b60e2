// Package custom owns custom resources: what CustomResourceDefinitions become in
// the table of resources, and what is written into the definitions about it.
//
// Every server follows the stored definitions and keeps the table's rows for
// them. A definition passes these states, told by its conditions as upstream's
// apiextensions-apiserver tells them:
//
//	created        no rows
//	NamesAccepted  its names collide with no other's: the rows are in the table
//	Established    written once the rows are there
//	Terminating    nothing can be created; when no instance is left the definition goes
//
// A row costs a few kilobytes until it is used. What a definition's schemas turn
// into is made from the definition's bytes in the cache when the first request
// needs it: the structural schema by reads that can't be answered from bytes
// alone, validators and CEL programs by the first write.
//
// A server that is asked for a resource it doesn't know first asks the database
// whether there is one ([Resources.Await]), so no client is told that what
// another server has established does not exist.
package custom
