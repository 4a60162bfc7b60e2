// Package discovery owns the answers to /api and /apis: which groups, versions
// and resources are served, one by one or, for clients that ask for an
// APIGroupDiscoveryList, all at once with an ETag. They are made from the table
// of resources, anew only when that changes.
//
// In kube-apiserver some of these paths are routes of go-restful and others are
// not. It shows in methods other than GET and in formats it can't produce, and
// is the same here.
package discovery
