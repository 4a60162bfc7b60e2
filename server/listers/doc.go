// Package listers owns the listers that are answered from the object cache, for
// collections that grow with the cluster: an informer would keep each of their
// objects a second time, decoded, at several times the size. A lister decodes
// what it is asked for.
package listers
