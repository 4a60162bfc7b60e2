// Package schemas owns the structural types of the built-in kinds: which lists
// are maps or sets and by which keys, what server-side apply and the tracking
// of managed fields need to know.
//
// Upstream derives them at start from the Go definitions of the OpenAPI models,
// all at once, for a tenth of our whole start and 20 MB (BenchmarkUpstream).
// Here they are derived ahead of time into types.txt, which is part of the
// program's read-only text, and a kind's types are decoded when the first
// object of that kind is written.
//
// After a change of the Kubernetes version: go test ./server/builtin/schemas -update
package schemas
