package loopback

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apiserver/pkg/authentication/user"
)

var alice = &user.DefaultInfo{Name: "alice", Groups: []string{"g"}}

func client(handler http.HandlerFunc) *http.Client {
	return &http.Client{Transport: NewTransport(handler, alice)}
}

// A test inside synctest fails when it leaves a goroutine behind.

func TestSmallResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(func(w http.ResponseWriter, r *http.Request) {
			if u, ok := User(r.Context()); !ok || u.GetName() != "alice" {
				t.Errorf("user %v", u)
			}
			body, _ := io.ReadAll(r.Body)
			if r.URL.String() != "/api/v1/x?a=b" || r.RequestURI != "/api/v1/x?a=b" || r.Host != "howdah.local" || string(body) != "in" {
				t.Errorf("request %s %s %s %q", r.URL, r.RequestURI, r.Host, body)
			}
			r.Header.Set("Changed", "by handler")
			w.Header().Set("X-A", "1")
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-A", "too late")
			io.WriteString(w, "hel")
			io.WriteString(w, "lo")
		})
		request, _ := http.NewRequest("POST", Host+"/api/v1/x?a=b", strings.NewReader("in"))
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "hello" || response.StatusCode != 201 || response.Status != "201 Created" ||
			response.Header.Get("X-A") != "1" || response.ContentLength != 5 || response.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%v %q %+v", err, body, response)
		}
		if request.Header.Get("Changed") != "" {
			t.Error("the handler changed the caller's header")
		}
	})
}

func TestNothingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		response, err := client(func(http.ResponseWriter, *http.Request) {}).Get(Host)
		if err != nil || response.StatusCode != 200 || response.ContentLength != 0 {
			t.Errorf("%v %+v", err, response)
		}
	})
}

func TestHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		response, err := client(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(make([]byte, 100000))
		}).Head(Host)
		if err != nil || response.ContentLength != 100000 {
			t.Fatalf("%v %+v", err, response)
		}
		if body, err := io.ReadAll(response.Body); len(body) != 0 || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
}

func TestLargeResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := make([]byte, 1<<20)
		rand.Read(want)
		c := client(func(w http.ResponseWriter, r *http.Request) {
			for rest, size := want, 1; len(rest) > 0; size = size*3 + 1 {
				size = min(size, len(rest))
				if n, err := w.Write(rest[:size]); n != size || err != nil {
					t.Errorf("wrote %d of %d: %v", n, size, err)
				}
				rest = rest[size:]
			}
		})
		response, err := c.Get(Host)
		if err != nil || response.ContentLength != -1 {
			t.Fatal(err, response)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan string)
		c := client(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			for line := range next {
				fmt.Fprintln(w, line)
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			}
		})
		response, err := c.Get(Host) // returns at the first flush
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(response.Body)
		for i := range 10000 {
			next <- fmt.Sprint(i)
			if line, err := lines.ReadString('\n'); line != fmt.Sprintln(i) || err != nil {
				t.Fatal(line, err)
			}
		}
		close(next)
		if _, err := lines.ReadByte(); err != io.EOF {
			t.Error(err)
		}
	})
}

func TestWriterWaitsForReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := 0
		c := client(func(w http.ResponseWriter, r *http.Request) {
			for {
				n, err := w.Write(make([]byte, 1000))
				written += n
				if err != nil {
					return
				}
			}
		})
		response, err := c.Get(Host)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if written > bufferSize {
			t.Errorf("%d bytes written ahead", written)
		}
		response.Body.Close()
	})
}

func TestRequestBodyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		c := client(func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				fmt.Fprintln(w, lines.Text())
				http.NewResponseController(w).Flush()
			}
		})
		go fmt.Fprintln(writer, "one")
		response, err := c.Post(Host, "text/plain", reader)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(response.Body)
		for _, want := range []string{"one\n", "two\n"} {
			if line, err := lines.ReadString('\n'); line != want {
				t.Fatal(line, err)
			}
			if want == "one\n" {
				fmt.Fprintln(writer, "two")
			}
		}
		writer.Close()
		if _, err := lines.ReadByte(); err != io.EOF {
			t.Error(err)
		}
	})
}

type callerKey struct{}

func TestContextEnds(t *testing.T) {
	cause := errors.New("enough")
	for _, flush := range []bool{false, true} {
		for _, end := range []string{"cancel", "close", "return"} {
			if end == "close" && !flush {
				continue // there is no body to close yet
			}
			t.Run(fmt.Sprintf("%s flushed=%v", end, flush), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var handlers context.Context
					started := make(chan struct{})
					c := client(func(w http.ResponseWriter, r *http.Request) {
						handlers = r.Context()
						if handlers.Value(callerKey{}) != nil {
							t.Error("the caller's context values reached the handler")
						}
						if flush {
							http.NewResponseController(w).Flush()
						}
						close(started)
						if end == "return" {
							return
						}
						<-handlers.Done()
						if _, err := w.Write([]byte("x")); err == nil {
							t.Error("wrote to a caller that is gone")
						}
					})
					ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), callerKey{}, 1))
					if end == "cancel" {
						go func() {
							<-started
							synctest.Wait()
							cancel(cause)
						}()
					}
					request, _ := http.NewRequestWithContext(ctx, "GET", Host, nil)
					response, err := c.Do(request)
					if flush || end == "return" {
						if err != nil {
							t.Fatal(err)
						}
						if end == "close" {
							response.Body.Close()
						}
						_, err = io.ReadAll(response.Body)
					}
					switch end {
					case "cancel":
						if !errors.Is(err, cause) {
							t.Error(err)
						}
					case "close":
						if !errors.Is(err, errBodyClosed) {
							t.Error(err)
						}
					case "return":
						if err != nil {
							t.Error(err)
						}
					}
					synctest.Wait()
					if handlers.Err() == nil {
						t.Error("the handler's context did not end")
					}
					cancel(nil)
				})
			})
		}
	}
}

func TestAnswerOutlivesCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		request, _ := http.NewRequestWithContext(ctx, "GET", Host, nil)
		response, err := client(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "whole") }).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if body, err := io.ReadAll(response.Body); string(body) != "whole" || err != nil {
			t.Errorf("%q %v", body, err)
		}
	})
}

func TestCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", Host, nil)
	_, err := client(func(http.ResponseWriter, *http.Request) { t.Error("called") }).Do(request)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPanics(t *testing.T) {
	for _, flush := range []bool{false, true} {
		for _, cause := range []any{"boom", http.ErrAbortHandler} {
			t.Run(fmt.Sprintf("%v flushed=%v", cause, flush), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					response, err := client(func(w http.ResponseWriter, _ *http.Request) {
						io.WriteString(w, "part")
						if flush {
							http.NewResponseController(w).Flush()
						}
						panic(cause)
					}).Get(Host)
					if flush {
						if err != nil {
							t.Fatal(err)
						}
						var body []byte
						body, err = io.ReadAll(response.Body)
						if string(body) != "part" {
							t.Errorf("%q", body)
						}
					}
					if cause == http.ErrAbortHandler {
						if !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Error(err)
						}
					} else if err == nil || !strings.Contains(err.Error(), "boom") {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestUserIsNotInHeaders(t *testing.T) {
	client(func(_ http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			for _, value := range values {
				if strings.Contains(value, "alice") {
					t.Errorf("%s: %s", name, value)
				}
			}
		}
	}).Get(Host)
	if _, ok := User(t.Context()); ok {
		t.Error("a foreign context has a user")
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	answer := make([]byte, 3000)
	transport := NewTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf")
		w.Write(answer)
	}), alice)
	request, _ := http.NewRequestWithContext(b.Context(), "GET", Host+"/api/v1/namespaces/default/pods/a", nil)
	b.ReportAllocs()
	for b.Loop() {
		response, err := transport.RoundTrip(request)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}
