// Package aggregation owns APIServices: which groups and versions other API
// servers answer for, whether they can be reached, and the way to them
// (https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/).
//
// Every group version that this server has itself gets an APIService too, as in
// kube-apiserver. One that names a Service is asked for its discovery regularly;
// its requests are proxied in the name of the caller, who is told by the headers
// of a front proxy. A server that doesn't answer is marked unavailable, and its
// requests are refused without being tried. Group versions that are built in are
// never given away.
package aggregation
