// Package transcode turns the protobuf encoding of a built-in object straight
// into the JSON that encoding/json makes of the decoded object, byte for byte,
// without decoding it into Go structs. It is what makes JSON lists cheap.
//
// A [Plan] is made once for a Go type from its struct tags. JSON members stand
// in the order of the struct's fields, which isn't that of the encoding, so each
// message is first scanned into slots, one a field, and then written.
//
// Only the usual form of an encoding, which is what stored objects have, is
// written this way. A message that is in any way odd (one that is split in two,
// a map out of order, a wire type that doesn't fit) makes the plan give up and
// decode the whole object, so the answer is always that of the decoded object.
package transcode
