// Package encode writes answers: it owns the negotiation of their format, the
// forms other than an object's own (Table, PartialObjectMetadata), compression,
// and errors as Status objects. What it writes is what kube-apiserver writes.
package encode
