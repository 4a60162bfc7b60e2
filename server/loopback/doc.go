// Package loopback owns HTTP from the server to itself: a [http.RoundTripper]
// that calls a [http.Handler] in this process, without a socket, TLS or a
// credential that could leak.
//
// Each exchange runs the handler in one goroutine, which ends when the handler
// returns. The handler's context ends when the caller's context ends, when the
// caller closes the response body, or when the handler returns. It carries
// nothing of the caller's context but its end, exactly as if a network were in
// between, plus who the caller is: that is known to [User] alone and is in no
// header, so nothing that arrives on a socket can claim it.
//
// A response that fits into a small buffer and is not flushed reaches the
// caller in one step once the handler has returned. A longer or flushed one
// streams: the caller reads what was flushed while the handler writes on, and
// a handler that is ahead of its caller waits. A handler that panics, also with
// [http.ErrAbortHandler], gives the caller an error where a network would break
// the connection. Taking over the connection (upgrades) is not possible.
package loopback
