// Package endpoints keeps account of the pods behind Services: in EndpointSlices
// ([Slices]), which proxies and DNS read, in the older Endpoints ([Endpoints]),
// and, for Services without a selector, in EndpointSlices made of the Endpoints
// that somebody else keeps ([Mirror]).
//
// How pods are distributed over slices, topology hints and traffic distribution
// are k8s.io/endpointslice's, the library that kube-controller-manager uses
// (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/).
package endpoints
