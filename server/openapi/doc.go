// Package openapi owns the answers to /openapi/v2 and /openapi/v3.
//
// The documents are those that Kubernetes publishes with its source
// (api/openapi-spec), which its own servers wrote: building them anew with
// kube-openapi would need upstream's go-restful routes, which we do not have,
// and could only come close. They are made ahead of time ("go generate"), as
// JSON and as protobuf, compressed, and embedded: nothing is parsed at run time
// and a client that takes gzip, as all of them do, gets the embedded bytes.
// Others cost one decompression for the time of the request.
//
// /openapi/v3 has one document for each group version, and shows those that the
// server serves, whatever its --runtime-config. The single document of
// /openapi/v2 is that of the default group versions; versions turned on beside
// them are only in /openapi/v3.
//
// What comes and goes while the server runs, such as custom resources, is a
// [Source]: its documents are made when somebody asks for them, and a few kept.
//
// Types for server-side apply are not taken from here but from
// server/builtin/schemas, which holds no descriptions.
package openapi

//go:generate go run ./internal/generate
