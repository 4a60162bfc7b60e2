package read

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	utilwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
	api "k8s.io/kubernetes/pkg/apis/core"
	"sigs.k8s.io/yaml"

	"github.com/howdah/howdah/storage"
)

// A stream is a watch over a real connection.
type stream struct {
	t       testing.TB
	url     string
	body    io.ReadCloser
	header  http.Header
	decoder *restwatch.Decoder
	lines   *bufio.Reader
}

func (s *server) listen() *httptest.Server {
	h := httptest.NewUnstartedServer(s)
	h.EnableHTTP2 = true
	h.StartTLS()
	s.t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

func openStream(t testing.TB, h *httptest.Server, url, accept string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, h.URL+url, nil)
	r.Header.Set("Accept", accept)
	w, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if w.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(w.Body)
		t.Fatalf("%s: %s %s", url, w.Status, b)
	}
	st := &stream{t: t, url: url, body: w.Body, header: w.Header}
	mediaType, _, _ := strings.Cut(accept, ";")
	info, err := negotiation.NegotiateInputSerializerForMediaType(mediaType, true, scheme.Codecs)
	if err != nil {
		t.Fatal(err)
	}
	framer := info.StreamSerializer.Framer.NewFrameReader(w.Body)
	st.decoder = restwatch.NewDecoder(
		streaming.NewDecoder(framer, info.StreamSerializer.Serializer),
		scheme.Codecs.UniversalDeserializer())
	st.lines = bufio.NewReader(w.Body)
	return st
}

// next is the next event as "TYPE name@revision".
func (st *stream) next() string {
	st.t.Helper()
	kind, obj, err := st.decoder.Decode()
	if err == io.EOF {
		return "end"
	}
	if err != nil {
		st.t.Fatalf("%s: %v", st.url, err)
	}
	return describe(kind, obj)
}

func describe(kind utilwatch.EventType, obj runtime.Object) string {
	switch o := obj.(type) {
	case *metav1.Status:
		return fmt.Sprintf("%s %d %s %s", kind, o.Code, o.Reason, o.Message)
	case metav1.Object:
		end := ""
		if o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			end = " end"
		}
		return fmt.Sprintf("%s %s@%s%s", kind, strings.TrimPrefix(o.GetName(), "web-7d9c6b8f5d-"), o.GetResourceVersion(), end)
	}
	return fmt.Sprintf("%s %T", kind, obj)
}

func (st *stream) want(events ...string) {
	st.t.Helper()
	for _, want := range events {
		if got := st.next(); got != want {
			st.t.Errorf("%s: got %q, want %q", st.url, got, want)
		}
	}
}

func TestWatch(t *testing.T) {
	for _, accept := range []string{jsonType, protobufType + ";stream=watch"} {
		t.Run(accept, func(t *testing.T) {
			s := newServer(t, storage.Options{})
			h := s.listen()
			s.createPods(2)
			all := openStream(t, h, "/api/v1/pods?watch=true", accept)
			zero := openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=0", accept)
			legacy := openStream(t, h, "/api/v1/watch/pods", accept)
			since := openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=1", accept)
			list := openStream(t, h, "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", accept)
			now := openStream(t, h, "/api/v1/pods?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", accept)
			selected := openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=2&labelSelector=color%3Dred", accept)
			namespaced := openStream(t, h, "/api/v1/namespaces/bench-01/pods?watch=true&resourceVersion=2", accept)
			single := openStream(t, h, "/api/v1/watch/namespaces/bench-00/pods/"+podName(0), accept)
			byName := openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=2&fieldSelector=metadata.name%3D"+podName(1), accept)
			if got, want := all.header.Get("Content-Type"), accept; got != want {
				t.Errorf("content type %q, want %q", got, want)
			}

			all.want("ADDED 00000@1", "ADDED 00001@2")
			zero.want("ADDED 00000@1", "ADDED 00001@2")
			legacy.want("ADDED 00000@1", "ADDED 00001@2")
			since.want("ADDED 00001@2")
			list.want("ADDED 00000@1", "ADDED 00001@2", "BOOKMARK @2 end")
			single.want("ADDED 00000@1")

			s.update(pods(), "bench-01", podName(1), func(hub runtime.Object) { hub.(*api.Pod).Labels["color"] = "red" })
			s.update(pods(), "bench-01", podName(1), func(hub runtime.Object) { hub.(*api.Pod).Labels["color"] = "blue" })
			s.delete(pods(), "bench-00", podName(0))
			for _, st := range []*stream{all, zero, legacy, since, list, now} {
				st.want("MODIFIED 00001@3", "MODIFIED 00001@4", "MODIFIED 00000@5", "DELETED 00000@6")
			}
			selected.want("ADDED 00001@3", "DELETED 00001@4")
			namespaced.want("MODIFIED 00001@3", "MODIFIED 00001@4")
			byName.want("MODIFIED 00001@3", "MODIFIED 00001@4")
			single.want("MODIFIED 00000@5", "DELETED 00000@6")
		})
	}
}

func TestWatchEnds(t *testing.T) {
	s := newServer(t, storage.Options{})
	stopping := make(chan struct{})
	s.deps.Stopping, s.deps.BookmarkInterval = stopping, 10*time.Millisecond
	h := s.listen()
	s.createPods(1)

	openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=1&timeoutSeconds=1", jsonType).want("end")
	openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=1000", jsonType).
		want("ERROR 504 Timeout Timeout: Too large resource version: 1000, current: 1", "end")
	bookmarked := openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=1&allowWatchBookmarks=true", jsonType)
	bookmarked.want("BOOKMARK @1", "BOOKMARK @1")
	s.create(corev1.SchemeGroupVersion.WithResource("configmaps"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "a"}})
	for got := ""; got != "BOOKMARK @2"; { // another resource's revision
		if got = bookmarked.next(); got != "BOOKMARK @1" && got != "BOOKMARK @2" {
			t.Fatal(got)
		}
	}
	close(stopping)
	for got := ""; got != "end"; {
		got = bookmarked.next()
	}
}

// TestWatchOfStoppingServer: who comes back to a server that stops, on a connection that
// is still there, is to come again. A watch that began and ended at once would make
// client-go list everything anew.
func TestWatchOfStoppingServer(t *testing.T) {
	s := newServer(t, storage.Options{})
	stopping := make(chan struct{})
	s.deps.Stopping = stopping
	close(stopping)
	w := s.ask("/api/v1/pods?watch=true", "Accept", jsonType)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}

func TestWatchRefusals(t *testing.T) {
	s := newServer(t, storage.Options{})
	for _, c := range []struct {
		query, accept string
		code          int
		message       string
	}{
		{"resourceVersion=x", jsonType, 500, `resourceVersion: Invalid value: "x"`},
		{"resourceVersion=1", "application/yaml", 406, `only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch`},
		{"sendInitialEvents=true", jsonType, 422, `sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`},
		{"resourceVersionMatch=NotOlderThan", jsonType, 422, `resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`},
		{"includeObject=Some", tableType, 400, `Unable to convert to Table as requested: includeObject: Invalid value: "Some"`},
	} {
		w := s.ask("/api/v1/pods?watch=true&"+c.query, "Accept", c.accept)
		var status metav1.Status
		if err := yaml.Unmarshal(w.Body.Bytes(), &status); err != nil {
			t.Errorf("%s: %s", c.query, w.Body)
		}
		if w.Code != c.code || !strings.Contains(status.Message, c.message) {
			t.Errorf("%s: %d %s", c.query, w.Code, w.Body)
		}
	}
}

// TestWatchIsUpstreams compares frames with what upstream's encoders make.
func TestWatchIsUpstreams(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.createPods(2)
	row := s.row(pods())
	e := newEndpoint(row, s.deps)
	o, _ := row.Objects.Collection().Get(row.Objects.Key("bench-00", podName(0)))
	for _, accept := range []string{jsonType, protobufType, strings.Replace(jsonType+partials, "List", "", 1), strings.Replace(protobufType+partials, "List", "", 1)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		options, err := e.listOptions(withInfo(r))
		if err != nil {
			t.Fatal(err)
		}
		ev, err := e.events(r, options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ev.appendAdded(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		hub, err := e.hub(o)
		if err != nil {
			t.Fatal(err)
		}
		transformed, err := ev.format.Transform(r.Context(), row, nil, hub)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := ev.encoder.Encode(transformed, &b); err != nil {
			t.Fatal(err)
		}
		want, err := ev.otherFrame("ADDED", b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", accept, around(got, want), around(want, got))
		}
	}
}

func TestWatchTable(t *testing.T) {
	s := newServer(t, storage.Options{})
	h := s.listen()
	s.createPods(2)
	st := openStream(t, h, "/api/v1/pods?watch=true", tableType)
	s.update(pods(), "bench-01", podName(1), func(hub runtime.Object) { hub.(*api.Pod).Labels["color"] = "red" })
	for i, want := range []struct {
		columns bool
		object  string
	}{{true, podName(0)}, {false, podName(1)}, {false, podName(1)}} {
		line, err := st.lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var event struct {
			Type   string
			Object metav1.Table
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		var partial metav1.PartialObjectMetadata
		if err := json.Unmarshal(event.Object.Rows[0].Object.Raw, &partial); err != nil {
			t.Fatal(err)
		}
		if (len(event.Object.ColumnDefinitions) > 0) != want.columns || partial.Name != want.object {
			t.Errorf("event %d: %s", i, line)
		}
	}
}

func TestWatchCompressed(t *testing.T) {
	s := newServer(t, storage.Options{})
	h := s.listen()
	s.createPods(100)
	client := "192.0.2.1:1000" // to the server
	serve := h.Config.Handler
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client != "" {
			r.RemoteAddr = client
		}
		serve.ServeHTTP(w, r)
	})
	h.Client().Transport.(*http.Transport).DisableCompression = true
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, h.URL+"/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=2", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if w.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(w.Header)
	}
	for i := range 3 {
		s.create(pods(), pod(100+i))
	}
	lines := strings.Split(strings.TrimSpace(string(unzip(t, w.Body))), "\n")
	if len(lines) != 104 || !strings.Contains(lines[100], "BOOKMARK") || !strings.Contains(lines[103], podName(102)) {
		t.Errorf("%d lines", len(lines))
	}

	client = "" // on the same machine
	if w, err = h.Client().Do(r); err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	if w.Header.Get("Content-Encoding") != "" {
		t.Error("compressed for a client on the same machine", w.Header)
	}
}

func TestWatchOverWebSocket(t *testing.T) {
	s := newServer(t, storage.Options{})
	h := httptest.NewServer(s)
	defer h.Close()
	s.createPods(1)
	url := strings.Replace(h.URL, "http", "ws", 1) + "/api/v1/pods?watch=true&timeoutSeconds=1"
	connection, err := websocket.Dial(url, "", h.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	var message string
	if err := websocket.Message.Receive(connection, &message); err != nil {
		t.Fatal(err)
	}
	var event metav1.WatchEvent
	if err := json.Unmarshal([]byte(message), &event); err != nil || event.Type != "ADDED" {
		t.Errorf("%v %s", err, message)
	}
	if err := websocket.Message.Receive(connection, &message); err != io.EOF {
		t.Errorf("%v %s", err, message)
	}
}
