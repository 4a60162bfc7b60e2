// Package read serves GET, LIST and WATCH. What is in the byte cache is answered
// from its bytes: protobuf answers in the storage version are copies of them,
// other encodings are made once for a version of an object or for an event and
// shared by all who ask. Rows that keep no objects there, such as logs, answer
// through upstream's REST storage.
//
// A list is written object by object: a request holds pointers into a snapshot
// and one buffer, whatever the list's size. Until the first bytes are out every
// failure is a Status; after that the connection or stream is aborted, so that
// no client takes a part for the whole.
package read
