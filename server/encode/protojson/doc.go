// Package protojson turns the protobuf encoding of API types into their JSON
// without decoding them into objects. Its output is byte for byte what
// encoding/json makes of the decoded object; what it can't be exact about it
// refuses with [ErrUnsure], and the caller takes the long way.
//
// A [Type] is a plan that is made once from the struct tags of a Go type. Values
// are written in the order of the struct's fields, which differs from that of
// the encoding, so a message is first scanned into slots, one a field.
package protojson
