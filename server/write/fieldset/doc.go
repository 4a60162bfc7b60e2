// Package fieldset owns the question which fields a change of an object
// touched, for managed fields.
//
// The answers are those of structured-merge-diff, which walks values through
// an interface and builds its sets path by path. That walk is the largest part
// of what a write costs. Here a plan is made once for a Go type and its schema,
// and a walk over the Go values writes the FieldsV1 of a new object straight
// away, or lists the few paths that an update changed.
//
// A plan knows what it does not know: values whose treatment depends on more
// than the plan (duplicate list keys, values of no declared type) end the walk
// with [ErrUnsure], and the caller asks structured-merge-diff.
package fieldset
