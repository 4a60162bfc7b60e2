// Package objects stores API objects: it is upstream's storage.Interface on the
// byte store, one [Store] a resource, and owns everything that the cache knows
// of an object without decoding it.
//
// A stored value is what kube-apiserver keeps in etcd. The cache keeps it as the
// answer to a GET: the same bytes with the revision spliced into
// metadata.resourceVersion, from which labels and selectable fields are read
// where they stand.
//
// Invariants:
//   - Values in the cache are always in the resource's storage version; a value
//     that is found in another form is converted when it is described.
//   - What a [Store] writes has been defaulted in the storage version, so that
//     its bytes are what encoding the decoded object gives again, and a GET may
//     answer with them.
//   - Writes read the cache first. A failure that a stale read could have caused
//     is believed only after the cache has caught up with the database.
package objects
