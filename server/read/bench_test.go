package read

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/howdah/howdah/storage"
)

const benchPods = 30000

// fill puts pods in the store in their stored form, without going through the
// registry for each.
func (s *server) fill(n int) {
	s.t.Helper()
	row := s.row(pods())
	info, _ := runtime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), protobufType)
	encoder := legacyscheme.Codecs.EncoderForVersion(info.Serializer, pods().GroupVersion())
	var wait sync.WaitGroup
	defer wait.Wait()
	room := make(chan struct{}, 256)
	for i := range n {
		room <- struct{}{}
		wait.Go(func() {
			defer func() { <-room }()
			p := pod(i)
			legacyscheme.Scheme.Default(p)
			p.UID = apitypes.UID(fmt.Sprintf("4d5c8a7e-0000-4000-8000-%012d", i))
			p.CreationTimestamp.Time = time.Now()
			p.Status.Phase, p.Status.QOSClass = "Pending", "Burstable"
			var b bytes.Buffer
			if err := encoder.Encode(p, &b); err != nil {
				s.t.Error(err)
				return
			}
			key := row.Objects.Key(p.Namespace, p.Name)
			if _, err := s.store.Write(context.Background(), storage.Write{Key: key, Value: b.Bytes()}); err != nil {
				s.t.Error(err)
			}
		})
	}
}

func benchServer(b *testing.B, encodings int64) *server {
	s := newServer(b, storage.Options{EncodingBytes: encodings})
	s.fill(benchPods)
	return s
}

// A counter is a response that only counts its bytes.
type counter struct {
	header http.Header
	code   int
	bytes  int64
	tail   []byte
}

func (c *counter) Header() http.Header  { return c.header }
func (c *counter) WriteHeader(code int) { c.code = code }
func (c *counter) Flush()               {}
func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	c.tail = p
	return len(p), nil
}

func (s *server) count(url, accept string) int64 {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	r.Header.Set("Accept", accept)
	c := &counter{header: http.Header{}}
	s.ServeHTTP(c, r)
	if c.code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", url, c.code, c.tail)
	}
	return c.bytes
}

func benchmarkList(b *testing.B, encodings int64, url, accept string) {
	s := benchServer(b, encodings)
	size := s.count(url, accept)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		s.count(url, accept)
	}
}

func BenchmarkListProto30000(b *testing.B) { benchmarkList(b, 0, "/api/v1/pods", protobufType) }

func BenchmarkListJSON(b *testing.B) {
	b.Run("warm", func(b *testing.B) { benchmarkList(b, 1<<30, "/api/v1/pods", jsonType) })
	b.Run("cold", func(b *testing.B) { benchmarkList(b, -1, "/api/v1/pods", jsonType) })
}

func BenchmarkListSelected(b *testing.B) {
	b.Run("label", func(b *testing.B) { benchmarkList(b, 0, "/api/v1/pods?labelSelector=app%3Dweb-7", protobufType) })
	b.Run("node", func(b *testing.B) {
		benchmarkList(b, 0, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-0007", protobufType)
	})
	b.Run("namespace", func(b *testing.B) { benchmarkList(b, 0, "/api/v1/namespaces/bench-03/pods", protobufType) })
}

// BenchmarkListPages reads everything in pages of 500.
func BenchmarkListPages(b *testing.B) {
	for _, c := range []struct{ name, accept string }{{"json", jsonType}, {"table", tableType}, {"protobuf", protobufType}} {
		b.Run(c.name, func(b *testing.B) {
			s := benchServer(b, 64<<20)
			for b.Loop() {
				for token := ""; ; {
					r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/v1/pods?limit=500&continue="+token, nil)
					r.Header.Set("Accept", c.accept)
					w := httptest.NewRecorder()
					s.ServeHTTP(w, r)
					token = continueOf(b, w.Body.Bytes(), c.accept)
					if token == "" {
						break
					}
				}
			}
		})
	}
}

func continueOf(b *testing.B, body []byte, accept string) string {
	if accept == protobufType {
		obj, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		return obj.(interface{ GetContinue() string }).GetContinue()
	}
	_, rest, found := bytes.Cut(body, []byte(`"continue":"`))
	if !found {
		return ""
	}
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(token)
}

func BenchmarkGet(b *testing.B) {
	s := newServer(b, storage.Options{})
	s.fill(1000)
	for _, c := range []struct{ name, accept string }{{"protobuf", protobufType}, {"json", jsonType}, {"table", tableType}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.count("/api/v1/namespaces/bench-03/pods/"+podName(3), c.accept)
			}
		})
	}
}

// BenchmarkWatchFanout is one write to 200 watchers.
func BenchmarkWatchFanout(b *testing.B) {
	for _, accept := range []string{jsonType, protobufType} {
		b.Run(accept, func(b *testing.B) {
			const watchers = 200
			s := newServer(b, storage.Options{})
			s.fill(100)
			row := s.row(pods())
			key := row.Objects.Key("bench-03", podName(3))
			o, _ := row.Objects.Collection().Get(key)
			var arrived sync.WaitGroup
			started := make(chan struct{}, watchers)
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			for range watchers {
				running.Go(func() {
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/pods?watch=true&resourceVersion="+strconv.FormatInt(s.store.Revision(), 10), nil)
					r.Header.Set("Accept", accept)
					s.ServeHTTP(&fanout{counter: counter{header: http.Header{}}, started: started, arrived: &arrived}, r)
				})
			}
			for range watchers {
				<-started
			}
			b.ReportAllocs()
			for b.Loop() {
				arrived.Add(watchers)
				revision, err := s.store.Write(ctx, storage.Write{Key: key, Value: o.Value(), Expect: o.Revision})
				if err != nil {
					b.Fatal(err)
				}
				arrived.Wait()
				if o, _ = row.Objects.Collection().Get(key); o.Revision != revision {
					b.Fatal("the write is not in the cache")
				}
			}
		})
	}
}

// A fanout is a response that tells when it was written to.
type fanout struct {
	counter
	started chan struct{}
	arrived *sync.WaitGroup
}

func (f *fanout) WriteHeader(code int) {
	f.code = code
	f.started <- struct{}{}
}

func (f *fanout) Write(p []byte) (int, error) {
	f.arrived.Done()
	return len(p), nil
}

// BenchmarkListOverHTTP is a list with TLS, HTTP/2 and a client that reads it.
func BenchmarkListOverHTTP(b *testing.B) {
	s := benchServer(b, 1<<30)
	h := s.listen()
	for _, c := range []struct{ name, accept string }{{"protobuf", protobufType}, {"json", jsonType}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				r, _ := http.NewRequest(http.MethodGet, h.URL+"/api/v1/pods", nil)
				r.Header.Set("Accept", c.accept)
				r.Header.Set("Accept-Encoding", "identity")
				w, err := h.Client().Do(r)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, w.Body)
				w.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}

// BenchmarkMakeJSON is what a pod's JSON costs when it is not kept.
func BenchmarkMakeJSON(b *testing.B) {
	s := newServer(b, storage.Options{})
	s.fill(1)
	row := s.row(pods())
	e := newEndpoint(row, s.deps)
	o, _ := row.Objects.Collection().Get(row.Objects.Key("bench-00", podName(0)))
	b.Run("upstream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			obj, err := e.served(o)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(obj); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var buffer []byte
		for b.Loop() {
			made, err := e.appendJSON(buffer[:0], o)
			if err != nil {
				b.Fatal(err)
			}
			buffer = made
		}
	})
}
