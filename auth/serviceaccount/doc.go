// Package serviceaccount owns the tokens of service accounts: signing them,
// checking them, and the documents by which others can check them.
//
// A token is checked in two halves. What it says, and that one of our keys
// signed it, never changes: that is done once and remembered, by the token's
// hash, within a bound. Whether it still holds is found out for every request:
// its times, and the account, pod, secret or node that it is bound to, as the
// object cache has them now. When the cache says no, the database is asked
// whether the cache is behind, since another server may just have made the
// object.
//
// Claims, names and refusals are kube-apiserver's
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/,
// KEP-1205, KEP-2799, KEP-4193).
package serviceaccount
