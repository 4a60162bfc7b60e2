package admission_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"

	"github.com/howdah/howdah/server"
)

// A hook is a webhook over TLS that records what it is asked.
type hook struct {
	url      string
	caBundle []byte
	answer   func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

	mu    sync.Mutex
	asked []*admissionv1.AdmissionRequest
}

// newHook serves on the address; its certificate is also for the names.
func newHook(t *testing.T, address string, names []string, answer func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) *hook {
	t.Helper()
	h := &hook{answer: answer}
	h.serve(t, address, names, h)
	return h
}

// newRawHook is a webhook that says what it likes.
func newRawHook(t *testing.T, handler http.HandlerFunc) *hook {
	t.Helper()
	h := &hook{}
	h.serve(t, "127.0.0.1:0", nil, handler)
	return h
}

func (h *hook) serve(t *testing.T, address string, names []string, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(listener.Addr().String())
	certificate, key, err := cert.GenerateSelfSignedCertKey("webhook", []net.IP{net.ParseIP(host)}, names)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener, s.TLS = listener, &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	h.url, h.caBundle = s.URL, certificate
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.asked = append(h.asked, review.Request)
	h.mu.Unlock()
	review.Response = h.answer(review.Request)
	if review.Response.UID == "" {
		review.Response.UID = review.Request.UID
	}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

func (h *hook) take() []*admissionv1.AdmissionRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

func allow(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// patched allows with a JSON patch.
func patched(patch string) *admissionv1.AdmissionResponse {
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(patch), PatchType: &kind}
}

// webhook is about ConfigMaps of one namespace.
func (h *hook) webhook(namespace string, change ...func(*admissionregistrationv1.ValidatingWebhook)) admissionregistrationv1.ValidatingWebhook {
	none := admissionregistrationv1.SideEffectClassNone
	w := admissionregistrationv1.ValidatingWebhook{
		Name:                    "hook.example.org",
		ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &h.url, CABundle: h.caBundle},
		AdmissionReviewVersions: []string{"v1"}, SideEffects: &none,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{"*"},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		}},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
	}
	for _, f := range change {
		f(&w)
	}
	return w
}

func (c *cluster) validating(t *testing.T, name string, hooks ...admissionregistrationv1.ValidatingWebhook) {
	t.Helper()
	_, err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(),
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: hooks}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// mutating makes a configuration for each hook, as one's hooks are called in
// its order, and configurations in that of their names.
func (c *cluster) mutating(t *testing.T, name string, reinvocation admissionregistrationv1.ReinvocationPolicyType, w admissionregistrationv1.ValidatingWebhook) {
	t.Helper()
	_, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
			NamespaceSelector: w.NamespaceSelector, SideEffects: w.SideEffects, TimeoutSeconds: w.TimeoutSeconds,
			AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions, ReinvocationPolicy: &reinvocation,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// known waits until the webhook is asked.
func (c *cluster) known(t *testing.T, namespace string, h *hook) {
	t.Helper()
	until(t, "the webhook is known", func() bool {
		_, _ = c.configMap(t, namespace, "early", metav1.DryRunAll)
		return len(h.take()) > 0
	})
}

func TestWebhooks(t *testing.T) {
	_, services, _ := net.ParseCIDR("127.77.0.0/24")
	c := start(t, server.Options{ServiceClusterIPRanges: []net.IPNet{*services}})

	t.Run("mutate, then validate", func(t *testing.T) {
		namespace := c.namespace(t, "both", nil)
		mutator := newHook(t, "127.0.0.1:0", nil, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			if r.Operation != admissionv1.Create {
				return &admissionv1.AdmissionResponse{Allowed: true}
			}
			return patched(`[{"op":"add","path":"/data","value":{"from":"hook"}}]`)
		})
		validator := newHook(t, "127.0.0.1:0", nil, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			if strings.HasPrefix(r.Name, "bad") {
				return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "too bad", Code: 418, Reason: "Teapot"}}
			}
			return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"mind the gap"}}
		})
		c.mutating(t, "both", admissionregistrationv1.NeverReinvocationPolicy, mutator.webhook(namespace))
		c.validating(t, "both", validator.webhook(namespace))
		c.known(t, namespace, mutator)
		c.known(t, namespace, validator)
		mutator.take()
		c.warnings.take()

		made, err := c.configMap(t, namespace, "good")
		if err != nil || made.Data["from"] != "hook" {
			t.Errorf("made %v (%v), without the hook's change", made, err)
		}
		if got := c.warnings.take(); got != "mind the gap" {
			t.Errorf("the warning is %q", got)
		}
		asked, checked := mutator.take(), validator.take()
		if len(asked) != 1 || len(checked) != 1 {
			t.Fatalf("the hooks were asked %d and %d times", len(asked), len(checked))
		}
		r := checked[0]
		if r.Operation != "CREATE" || r.Kind.Kind != "ConfigMap" || r.Resource.Resource != "configmaps" || r.Name != "good" || r.Namespace != namespace ||
			*r.DryRun || !slices.Contains(r.UserInfo.Groups, "system:authenticated") || r.UserInfo.Username == "" ||
			!bytes.Contains(r.Object.Raw, []byte(`"from":"hook"`)) || r.OldObject.Raw != nil || !bytes.Contains(r.Options.Raw, []byte("CreateOptions")) {
			t.Errorf("the validating hook was asked %+v", r)
		}
		_, err = c.configMap(t, namespace, "bad")
		refused(t, err, `admission webhook "hook.example.org" denied the request: too bad`)
		if status, ok := err.(apierrors.APIStatus); !ok || status.Status().Code != 418 || status.Status().Reason != "Teapot" {
			t.Errorf("the refusal is %#v", err)
		}
		if _, err := c.configMap(t, namespace, "dry", metav1.DryRunAll); err != nil {
			t.Error(err)
		}
		if asked := mutator.take(); !*asked[len(asked)-1].DryRun {
			t.Error("a dry run is not one to the hook")
		}
		validator.take()
		if err := c.CoreV1().ConfigMaps(namespace).Delete(t.Context(), "good", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := validator.take()[0]; r.Operation != "DELETE" || r.Object.Raw != nil || !bytes.Contains(r.OldObject.Raw, []byte(`"from":"hook"`)) {
			t.Errorf("of a deletion the hook was asked %+v", r)
		}
	})

	t.Run("reinvocation", func(t *testing.T) {
		namespace := c.namespace(t, "again", nil)
		first := newHook(t, "127.0.0.1:0", nil, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			if bytes.Contains(r.Object.Raw, []byte(`"second":"was here"`)) {
				return patched(`[{"op":"add","path":"/data/first","value":"saw it"}]`)
			}
			return &admissionv1.AdmissionResponse{Allowed: true}
		})
		second := newHook(t, "127.0.0.1:0", nil, func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return patched(`[{"op":"add","path":"/data","value":{"second":"was here"}}]`)
		})
		c.mutating(t, "again-1", admissionregistrationv1.IfNeededReinvocationPolicy, first.webhook(namespace))
		c.mutating(t, "again-2", admissionregistrationv1.NeverReinvocationPolicy, second.webhook(namespace))
		c.known(t, namespace, first)
		c.known(t, namespace, second)
		first.take()
		made, err := c.configMap(t, namespace, "a")
		if err != nil || made.Data["first"] != "saw it" {
			t.Errorf("made %v (%v), want what the first hook does the second time", made.Data, err)
		}
		if asked, again := len(first.take()), len(second.take()); asked != 2 || again != 1 {
			t.Errorf("the hooks were asked %d and %d times, want 2 and 1", asked, again)
		}
	})

	t.Run("matching", func(t *testing.T) {
		namespace := c.namespace(t, "matching", nil)
		h := newHook(t, "127.0.0.1:0", nil, allow)
		c.validating(t, "matching", h.webhook(namespace, func(w *admissionregistrationv1.ValidatingWebhook) {
			w.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "not-mine", Expression: `!object.metadata.name.startsWith("skip") && request.userInfo.username != ""`}}
		}), h.webhook(namespace, func(w *admissionregistrationv1.ValidatingWebhook) {
			w.Name = "events.example.org"
			w.Rules[0].Rule = admissionregistrationv1.Rule{APIGroups: []string{"events.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"events"}}
		}))
		c.known(t, namespace, h)
		for name, want := range map[string]int{"skip-me": 0, "take-me": 1} {
			if _, err := c.configMap(t, namespace, name); err != nil || len(h.take()) != want {
				t.Errorf("%s: %v, or not asked %d times", name, err, want)
			}
		}
		_, err := c.CoreV1().Events(namespace).Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Namespace: namespace},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		asked := h.take()
		if len(asked) != 1 || asked[0].Kind.Group != "events.k8s.io" || asked[0].RequestKind.Group != "" || !bytes.Contains(asked[0].Object.Raw, []byte(`"apiVersion":"events.k8s.io/v1"`)) {
			t.Errorf("of an equivalent resource the hook was asked %+v", asked)
		}
	})

	t.Run("failures", func(t *testing.T) { testFailures(t, c) })
	t.Run("loop", func(t *testing.T) { testLoop(t, c) })

	t.Run("service", func(t *testing.T) {
		namespace := c.namespace(t, "service", nil)
		h := newHook(t, "127.77.0.9:0", []string{"hook.service.svc"}, allow)
		port := int32(listenerPort(t, h.url))
		_, err := c.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "hook"},
			Spec:       corev1.ServiceSpec{ClusterIP: "127.77.0.9", Ports: []corev1.ServicePort{{Port: port}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.validating(t, "service", h.webhook(namespace, func(w *admissionregistrationv1.ValidatingWebhook) {
			w.ClientConfig.URL = nil
			w.ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "hook", Port: &port}
		}))
		c.known(t, namespace, h)
		if _, err := c.configMap(t, namespace, "a"); err != nil || len(h.take()) != 1 {
			t.Errorf("through the service: %v", err)
		}
		if err := c.CoreV1().Services(namespace).Delete(t.Context(), "hook", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// testFailures: a webhook that does wrong fails the request, or is ignored, as
// its failure policy says, and takes no longer than it may.
func testFailures(t *testing.T, c *cluster) {
	answer := func(response string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var review admissionv1.AdmissionReview
			_ = json.NewDecoder(r.Body).Decode(&review)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":`+response+`}`, review.Request.UID)
		}
	}
	const late = "context deadline exceeded"
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	for name, f := range map[string]struct {
		hook http.HandlerFunc
		want string
		// asNobodyCalled: not the webhook's failure policy decides, as in upstream.
		asNobodyCalled bool
	}{
		"hangs": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
			case <-over:
			}
		}, late, false},
		"trickles": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for {
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-over:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}, late, false},
		"breaks off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", false},
		"fails":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no luck", 500) }, "no luck", false},
		"no JSON":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, "couldn't get version/kind", false},
		"nothing":    {func(http.ResponseWriter, *http.Request) {}, "failed to call webhook", false},
		"wrong UID":  {answer(`{"uid":"other%.0s","allowed":true}`), "received invalid webhook response: expected response.uid=", false},
		"no response": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`)
		}, "webhook response was absent", false},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "the webhook's answer is longer than 16777216 bytes", false},
		"patch without type":  {answer(`{"uid":%q,"allowed":true,"patch":"W10="}`), "webhook returned response.patch but not response.patchType", false},
		"patch of other type": {answer(`{"uid":%q,"allowed":true,"patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2RhdGEiLCJ2YWx1ZSI6N31d","patchType":"Merge"}`), `unsupported patch type "Merge"`, false},
		"patch that is none":  {answer(`{"uid":%q,"allowed":true,"patch":"e30=","patchType":"JSONPatch"}`), "received undecodable patch in webhook response", false},
		// [{"op":"remove","path":"/nowhere"}]
		"patch of nothing": {answer(`{"uid":%q,"allowed":true,"patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL25vd2hlcmUifV0=","patchType":"JSONPatch"}`), "nowhere", true},
		// [{"op":"add","path":"/data","value":7}]
		"patch to nonsense": {answer(`{"uid":%q,"allowed":true,"patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2RhdGEiLCJ2YWx1ZSI6N31d","patchType":"JSONPatch"}`), "cannot unmarshal", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			short := strings.ReplaceAll(strings.ToLower(name), " ", "-")
			for _, policy := range []admissionregistrationv1.FailurePolicyType{admissionregistrationv1.Fail, admissionregistrationv1.Ignore} {
				namespace := c.namespace(t, short+"-"+strings.ToLower(string(policy)), nil)
				var asked atomic.Int64
				h := newRawHook(t, func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					f.hook(w, r)
				})
				c.mutating(t, namespace, admissionregistrationv1.NeverReinvocationPolicy, h.webhook(namespace, func(w *admissionregistrationv1.ValidatingWebhook) {
					seconds := int32(15)
					if f.want == late {
						seconds = 1
					}
					w.TimeoutSeconds, w.FailurePolicy = &seconds, &policy
				}))
				var err error
				var took time.Duration
				until(t, "the webhook is known", func() bool {
					began := time.Now()
					_, err = c.configMap(t, namespace, "a", metav1.DryRunAll)
					took = time.Since(began)
					return asked.Load() > 0
				})
				switch {
				case policy == admissionregistrationv1.Fail || f.asNobodyCalled:
					refused(t, err, f.want)
					if !apierrors.IsInternalError(err) {
						t.Errorf("the error is %#v, want an internal one", err)
					}
				case err != nil:
					t.Errorf("with failure policy Ignore: %v", err)
				}
				if f.want == late && took > 10*time.Second {
					t.Errorf("the request took %v, the webhook may take one second", took)
				}
			}
		})
	}
}

// testLoop has a webhook that makes objects which it is asked about itself.
func testLoop(t *testing.T, c *cluster) {
	namespace := c.namespace(t, "loop", nil)
	var deep, deepest atomic.Int64
	h := newHook(t, "127.0.0.1:0", nil, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		now := deep.Add(1)
		defer deep.Add(-1)
		for most := deepest.Load(); now > most && !deepest.CompareAndSwap(most, now); most = deepest.Load() {
		}
		_, err := c.configMap(t, namespace, r.Name+"x")
		return &admissionv1.AdmissionResponse{Allowed: err == nil, Result: &metav1.Status{Message: fmt.Sprint(err)}}
	})
	c.validating(t, "loop", h.webhook(namespace, func(w *admissionregistrationv1.ValidatingWebhook) {
		second := int32(1)
		w.TimeoutSeconds = &second
	}))
	until(t, "the loop is closed", func() bool {
		_, err := c.configMap(t, namespace, "a")
		_ = c.CoreV1().ConfigMaps(namespace).Delete(t.Context(), "a", metav1.DeleteOptions{})
		return err != nil
	})
	if _, err := c.configMap(t, "default", "beside-the-loop"); err != nil {
		t.Errorf("another namespace suffers: %v", err)
	}
	t.Logf("the loop was %d calls deep", deepest.Load())
	if err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "loop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the loop is open", func() bool {
		_, err := c.configMap(t, namespace, "z", metav1.DryRunAll)
		return err == nil
	})
}

func listenerPort(t *testing.T, url string) int {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	return address.Port
}
