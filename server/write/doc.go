// Package write owns the verbs that change objects: create, update, patch in
// its four forms, delete, deletecollection and connect.
//
// A request goes through the same steps whatever its verb: the answer's format
// is agreed on, the body is read within a limit, the options are parsed and
// validated, the body is decoded once, then the change runs under a deadline:
// managed fields, mutating admission, the resource's strategy and validation,
// validating admission, the store. Each step refuses with the status, reason
// and words that kube-apiserver uses.
package write
