// Package rbac decides requests by roles and bindings
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/).
//
// An [Engine] holds every role and binding, told to it one change at a time. It
// keeps for each namespace and subject (user, group or service account) the
// roles that are bound to it there, so that a decision looks at the roles of the
// caller only, however many others there are. A role rejects most requests that
// it does not allow by one bit comparison, see [sketch]. Decisions allocate
// nothing.
//
// Permissions only add up, so what can't be read counts as absent.
package rbac
