// Package metrics owns what the server tells about its own work, under
// kube-apiserver's names so that dashboards and alerts made for it fit.
//
// Requests are recorded with upstream's own package, whose metrics are the
// process's: two servers in one process add up. What is known of the store is
// gathered from each server's own store when somebody asks.
//
// Only requests that reach a row of the table, or one of a few fixed paths, are
// recorded: labels never come from a client's imagination.
package metrics
