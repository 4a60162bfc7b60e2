package audit

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/options"

	"github.com/howdah/howdah/server/resource"
)

// newOptions record everything's metadata in the file that is returned.
func newOptions(t *testing.T) (*options.AuditOptions, string) {
	t.Helper()
	dir := t.TempDir()
	o := options.NewAuditOptions()
	o.PolicyFile, o.LogOptions.Path = filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(o.PolicyFile, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return o, o.LogOptions.Path
}

// serve starts the log of the options. ask sends a request through it to a
// handler, and returns the status; stop sends what is buffered.
func serve(t *testing.T, o *options.AuditOptions, handler http.HandlerFunc) (ask func(path string) int, stop func()) {
	t.Helper()
	l, err := New(o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(l.Stop)
	t.Cleanup(stop)
	recorded := l.Requests(nil)(handler)
	return func(path string) (status int) {
		r := httptest.NewRequest("GET", path, nil)
		ctx := audit.WithAuditContext(request.WithUser(r.Context(), &user.DefaultInfo{Name: "jane"}))
		audit.WithAuditID(ctx, types.UID(path))
		ctx = request.WithRequestInfo(ctx, &request.RequestInfo{Path: path, Verb: "get"})
		w := httptest.NewRecorder()
		defer func() {
			if recover() != nil {
				status = 0
			}
		}()
		recorded.ServeHTTP(w, r.WithContext(ctx))
		return w.Code
	}, stop
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestPanic: what became of a request that did not end well is recorded, too.
func TestPanic(t *testing.T) {
	o, path := newOptions(t)
	ask, _ := serve(t, o, func(http.ResponseWriter, *http.Request) { panic("out of paper") })
	if status := ask("/print"); status != 0 {
		t.Errorf("the panic does not go on, status %d", status)
	}
	var e auditv1.Event
	if err := json.Unmarshal([]byte(read(t, path)), &e); err != nil {
		t.Fatal(err)
	}
	if e.Stage != auditv1.StagePanic || e.ResponseStatus.Code != 500 || e.ResponseStatus.Message != "APIServer panic'd: out of paper" || e.User.Username != "jane" {
		t.Errorf("%+v", e)
	}
}

// TestLegacyFormat is one line of words an event.
func TestLegacyFormat(t *testing.T) {
	o, path := newOptions(t)
	o.LogOptions.Format = "legacy"
	ask, _ := serve(t, o, ok)
	ask("/one")
	ask("/two")
	lines := strings.Split(strings.TrimSpace(read(t, path)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `stage="ResponseComplete"`) || !strings.Contains(lines[1], `user="jane"`) || !strings.Contains(lines[1], `uri="/two"`) {
		t.Errorf("%q", lines)
	}
}

// TestRotation: a file that grew large makes room, and few old ones stay.
func TestRotation(t *testing.T) {
	o, path := newOptions(t)
	o.LogOptions.MaxSize, o.LogOptions.MaxBackups = 1, 2 // megabytes
	ask, stop := serve(t, o, ok)
	long := "/" + strings.Repeat("x", 10_000)
	for range 600 { // two copies of the path an event
		ask(long)
	}
	stop()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "audit*.log"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files", len(files))
		}
	}
	if size := len(read(t, path)); size > 1<<20 {
		t.Errorf("the file has %d bytes", size)
	}
}

// hook is a webhook that receives events and answers with the status that fail
// says; its kubeconfig is returned.
type hook struct {
	calls atomic.Int64
	fail  func(call int64) int // nil: never

	mu     sync.Mutex
	events []auditv1.Event
	sizes  []int // of batches
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := h.calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if h.fail != nil {
		if status := h.fail(call); status != 0 {
			http.Error(w, "not now", status)
			return
		}
	}
	var list auditv1.EventList
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events, h.sizes = append(h.events, list.Items...), append(h.sizes, len(list.Items))
}

// paths of the events that came, and how many batches they came in.
func (h *hook) paths() (map[string]auditv1.Event, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]auditv1.Event{}
	for _, e := range h.events {
		all[e.RequestURI] = e
	}
	return all, len(h.sizes)
}

func (h *hook) options(t *testing.T) *options.AuditOptions {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	o, path := newOptions(t)
	o.LogOptions.Path = ""
	dir := filepath.Dir(path)
	o.WebhookOptions.ConfigFile = filepath.Join(dir, "webhook.kubeconfig")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	config := "apiVersion: v1\nkind: Config\nclusters: [{name: h, cluster: {server: '" + server.URL +
		"', certificate-authority: ca.pem}}]\ncontexts: [{name: h, context: {cluster: h}}]\ncurrent-context: h\n"
	if err := os.WriteFile(o.WebhookOptions.ConfigFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	o.WebhookOptions.InitialBackoff = 10 * time.Millisecond
	return o
}

// TestWebhookRetries: a webhook that can't take a batch gets it again.
func TestWebhookRetries(t *testing.T) {
	h := &hook{fail: func(call int64) int {
		if call <= 2 {
			return http.StatusInternalServerError
		}
		return 0
	}}
	o := h.options(t)
	o.WebhookOptions.BatchOptions.BatchConfig.MaxBatchWait = time.Millisecond
	ask, stop := serve(t, o, ok)
	ask("/one")
	stop()
	if got, _ := h.paths(); len(got) != 1 || h.calls.Load() < 3 {
		t.Errorf("%d events after %d calls", len(got), h.calls.Load())
	}
}

// TestWebhookDown: in the modes batch and blocking requests are served though
// their events are lost, also when the buffer is full; in blocking-strict not.
func TestWebhookDown(t *testing.T) {
	for mode, want := range map[string]int{"batch": http.StatusOK, "blocking": http.StatusOK, "blocking-strict": http.StatusInternalServerError} {
		t.Run(mode, func(t *testing.T) {
			h := &hook{fail: func(int64) int { return http.StatusForbidden }}
			o := h.options(t)
			if err := os.WriteFile(o.PolicyFile, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			o.WebhookOptions.BatchOptions.Mode = mode
			o.WebhookOptions.BatchOptions.BatchConfig.BufferSize, o.WebhookOptions.BatchOptions.BatchConfig.MaxBatchSize = 10, 5
			var served atomic.Int64
			ask, _ := serve(t, o, func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				ok(w, r)
			})
			for i := range 20 {
				if status := ask(fmt.Sprint("/", i)); status != want {
					t.Fatalf("request %d: %d, want %d", i, status, want)
				}
			}
			if (served.Load() == 0) != (want != http.StatusOK) {
				t.Errorf("%d requests were served", served.Load())
			}
		})
	}
}

// TestTruncation: events have bounds if it is asked for.
func TestTruncation(t *testing.T) {
	h := &hook{}
	o := h.options(t)
	o.WebhookOptions.TruncateOptions.Enabled = true
	o.WebhookOptions.TruncateOptions.TruncateConfig.MaxEventSize = 2000
	o.WebhookOptions.BatchOptions.BatchConfig.MaxBatchWait = time.Hour
	ask, stop := serve(t, o, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			audit.AddAuditAnnotation(r.Context(), "howdah.test/large", strings.Repeat("x", 10_000))
		}
		ok(w, r)
	})
	for i := range 20 {
		ask(fmt.Sprint("/", i))
	}
	ask("/large")
	stop()
	got, _ := h.paths()
	if len(got) != 20 || got["/large"].RequestURI != "" {
		t.Errorf("%d events came, with the one that is too large: %v", len(got), got["/large"].RequestURI != "")
	}
}

// recordRequests is a policy that records what was sent.
const recordRequests = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Request}]\n"

// sends is a handler whose requests have so many bytes.
func sends(size int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		Patch(r.Context(), func() ([]byte, error) { return fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", size)), nil })
		ok(w, r)
	}
}

// TestTruncatedFile: an event that is too large for the file loses its objects and
// says so, and is left out if that is not enough.
func TestTruncatedFile(t *testing.T) {
	for _, mode := range []string{"blocking", "batch"} {
		o, path := newOptions(t)
		if err := os.WriteFile(o.PolicyFile, []byte(recordRequests), 0o600); err != nil {
			t.Fatal(err)
		}
		o.LogOptions.BatchOptions.Mode = mode
		o.LogOptions.TruncateOptions.Enabled, o.LogOptions.TruncateOptions.TruncateConfig.MaxEventSize = true, 2000
		small, stopSmall := serve(t, o, sends(10))
		small("/small")
		stopSmall()
		large, stopLarge := serve(t, o, sends(5000))
		large("/large")
		large("/" + strings.Repeat("x", 3000))
		stopLarge()
		lines := strings.Split(strings.TrimSpace(read(t, path)), "\n")
		events := make([]auditv1.Event, len(lines))
		for i, line := range lines {
			if err := json.Unmarshal([]byte(line), &events[i]); err != nil {
				t.Fatal(err)
			}
		}
		if len(events) != 2 || events[0].RequestURI != "/small" || events[0].RequestObject == nil || len(events[0].Annotations) > 0 ||
			events[1].RequestURI != "/large" || events[1].RequestObject != nil || events[1].Annotations["audit.k8s.io/truncated"] != "true" {
			t.Errorf("%s: %s", mode, lines)
		}
	}
}

// TestBatches: they have as many events as they may.
func TestBatches(t *testing.T) {
	h := &hook{}
	o := h.options(t)
	batch := &o.WebhookOptions.BatchOptions.BatchConfig
	batch.MaxBatchSize, batch.MaxBatchWait, batch.ThrottleEnable = 3, time.Hour, false
	ask, stop := serve(t, o, ok)
	for i := range 10 {
		ask(fmt.Sprint("/", i))
	}
	stop()
	got, _ := h.paths()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(got) != 10 || slices.Max(h.sizes) != 3 {
		t.Errorf("%d events in batches of %v", len(got), h.sizes)
	}
}

// TestThrottle: a webhook is not sent more batches a second than it was said to.
func TestThrottle(t *testing.T) {
	h := &hook{}
	o := h.options(t)
	batch := &o.WebhookOptions.BatchOptions.BatchConfig
	batch.MaxBatchSize, batch.MaxBatchWait = 1, time.Millisecond
	batch.ThrottleEnable, batch.ThrottleQPS, batch.ThrottleBurst = true, 20, 1
	ask, stop := serve(t, o, ok)
	began := time.Now()
	for i := range 11 {
		ask(fmt.Sprint("/", i))
	}
	stop()
	if got, batches := h.paths(); len(got) != 11 || batches != 11 {
		t.Errorf("%d events in %d batches", len(got), batches)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("11 batches at 20 a second took %v", took)
	}
}

// TestObjectsAreEncodedIfRecorded: an object that the level leaves out is named,
// and not encoded.
func TestObjectsAreEncodedIfRecorded(t *testing.T) {
	for level, want := range map[string]int64{"Metadata": 0, "Request": 1} {
		o, path := newOptions(t)
		if err := os.WriteFile(o.PolicyFile, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: "+level+"}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		scheme := runtime.NewScheme()
		if err := corev1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		serializer := &counting{NegotiatedSerializer: serializer.NewCodecFactory(scheme)}
		row := &resource.Resource{GroupVersionResource: corev1.SchemeGroupVersion.WithResource("configmaps")}
		ask, _ := serve(t, o, func(w http.ResponseWriter, r *http.Request) {
			config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "a"}, Data: map[string]string{"mark": "x"}}
			Request(r.Context(), row, config, corev1.SchemeGroupVersion, serializer)
			ok(w, r)
		})
		ask("/")
		var e auditv1.Event
		if err := json.Unmarshal([]byte(read(t, path)), &e); err != nil {
			t.Fatal(err)
		}
		if e.ObjectRef == nil || e.ObjectRef.Name != "settings" || e.ObjectRef.Resource != "configmaps" || (e.RequestObject != nil) != (want > 0) {
			t.Errorf("%s: %+v", level, e)
		}
		if n := serializer.encoders.Load(); n != want {
			t.Errorf("%s: encoded %d times", level, n)
		}
	}
}

// counting counts the encoders that it is asked for.
type counting struct {
	runtime.NegotiatedSerializer
	encoders atomic.Int64
}

func (c *counting) EncoderForVersion(e runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	c.encoders.Add(1)
	return c.NegotiatedSerializer.EncoderForVersion(e, gv)
}

// TestNothingToDo: without a place or a policy there is no log, and it is told.
func TestNothingToDo(t *testing.T) {
	var said bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&said, nil))
	o, path := newOptions(t)
	o.LogOptions.Path = ""
	if l, err := New(o, logger); l != nil || err != nil || !strings.Contains(said.String(), "--audit-policy-file needs") {
		t.Errorf("without a place: %v %v %s", l, err, said.String())
	}
	said.Reset()
	o.PolicyFile, o.LogOptions.Path = "", path
	if l, err := New(o, logger); l != nil || err != nil || !strings.Contains(said.String(), "need --audit-policy-file") {
		t.Errorf("without a policy: %v %v %s", l, err, said.String())
	}
	if l, err := New(nil, logger); l != nil || err != nil {
		t.Errorf("without options: %v %v", l, err)
	}
}
