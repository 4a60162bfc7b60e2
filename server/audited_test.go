package server

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	serveroptions "k8s.io/apiserver/pkg/server/options"

	"github.com/howdah/howdah/auth"
)

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: None
  users: [system:apiserver]
- level: None
  nonResourceURLs: [/readyz]
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: Request
  resources: [{group: "", resources: [namespaces]}]
- level: RequestResponse
  omitStages: [RequestReceived]
  resources: [{group: "", resources: [configmaps]}]
- level: Metadata
`

// auditOptions write to the file they return, in which events stand as soon as
// their requests are answered.
func auditOptions(t *testing.T) (*serveroptions.AuditOptions, string) {
	t.Helper()
	dir := t.TempDir()
	o := serveroptions.NewAuditOptions()
	o.PolicyFile, o.LogOptions.Path = filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "log", "audit.log")
	if err := os.WriteFile(o.PolicyFile, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	return o, o.LogOptions.Path
}

// events of the log that match.
func events(t *testing.T, path string, match func(e *auditv1.Event) bool) []auditv1.Event {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []auditv1.Event
	for line := range bytes.Lines(content) {
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if match(&e) {
			out = append(out, e)
		}
	}
	return out
}

// complete are the last events of a caller's requests for a resource, by verb.
func complete(t *testing.T, path, resource string) map[string]auditv1.Event {
	t.Helper()
	out := map[string]auditv1.Event{}
	for _, e := range events(t, path, func(e *auditv1.Event) bool {
		return e.Stage == auditv1.StageResponseComplete && e.ObjectRef != nil && e.ObjectRef.Resource == resource
	}) {
		out[e.Verb] = e
	}
	return out
}

// TestAudit: who did what and what became of it, as far as the policy says, for
// answers that are encoded and for those made of stored bytes.
func TestAudit(t *testing.T) {
	t.Parallel()
	o, path := auditOptions(t)
	s := start(t, Options{DataDir: t.TempDir(), Audit: o})
	client := clientOf(t, s)
	ctx := t.Context()

	configs := client.CoreV1().ConfigMaps("default")
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-"}, Data: map[string]string{"mark": "one"}}
	config, err := configs.Create(ctx, config, metav1.CreateOptions{})
	check(t, err)
	name := config.Name
	_, err = configs.Get(ctx, name, metav1.GetOptions{})
	check(t, err)
	_, err = configs.List(ctx, metav1.ListOptions{})
	check(t, err)
	config.Data["mark"] = "two"
	_, err = configs.Update(ctx, config, metav1.UpdateOptions{})
	check(t, err)
	apply := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {applied: three}\n", name)
	_, err = configs.Patch(ctx, name, types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "test"})
	check(t, err)
	w, err := configs.Watch(ctx, metav1.ListOptions{})
	check(t, err)
	zero := int64(0)
	check(t, configs.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	_, err = client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, StringData: map[string]string{"p": password}}, metav1.CreateOptions{})
	check(t, err)
	_, err = client.CoreV1().Secrets("default").Get(ctx, "missing", metav1.GetOptions{})
	if err == nil {
		t.Error("a missing Secret is found")
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "asked"}}, metav1.CreateOptions{})
	check(t, err)
	_, err = client.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	check(t, err)
	w.Stop()

	got := complete(t, path, "configmaps")
	for _, c := range []struct {
		verb, request, response string
		code                    int32
	}{
		{"create", `"mark":"one"`, `"mark":"one"`, 201},
		{"get", "", `"mark":"one"`, 200},
		{"list", "", `"kind":"ConfigMapList"`, 200},
		{"update", `"mark":"two"`, `"mark":"two"`, 200},
		{"patch", `"applied":"three"`, `"applied":"three"`, 200},
		{"delete", `"gracePeriodSeconds":0`, `"kind":"Status"`, 200},
	} {
		e, ok := got[c.verb]
		if !ok {
			t.Errorf("no event for %s", c.verb)
			continue
		}
		if e.Level != auditv1.LevelRequestResponse || e.ResponseStatus.Code != c.code || e.User.Username == "" || e.UserAgent == "" ||
			len(e.SourceIPs) != 1 || e.SourceIPs[0] != "127.0.0.1" || e.AuditID == "" || e.RequestReceivedTimestamp.IsZero() {
			t.Errorf("%s: %+v", c.verb, e)
		}
		if e.ObjectRef.Name != name && c.verb != "list" && c.verb != "create" || e.ObjectRef.Namespace != "default" {
			t.Errorf("%s: object %+v", c.verb, e.ObjectRef)
		}
		for what, found := range map[string]bool{
			"request":  (e.RequestObject != nil) == (c.request != "") && (c.request == "" || bytes.Contains(e.RequestObject.Raw, []byte(c.request))),
			"response": e.ResponseObject != nil && bytes.Contains(e.ResponseObject.Raw, []byte(c.response)) && !bytes.Contains(e.ResponseObject.Raw, []byte("managedFields")),
		} {
			if !found {
				t.Errorf("%s: %s object: %+v", c.verb, what, e)
			}
		}
	}
	stages := events(t, path, func(e *auditv1.Event) bool { return e.Verb == "watch" && e.ObjectRef.Resource == "configmaps" })
	if len(stages) == 0 || stages[0].Stage != auditv1.StageResponseStarted || stages[0].ResponseStatus.Code != 200 {
		t.Errorf("the watch: %+v", stages)
	}

	secrets := complete(t, path, "secrets")
	if e := secrets["create"]; e.Level != auditv1.LevelMetadata || e.RequestObject != nil || e.ResponseObject != nil || e.ObjectRef.Name != "hidden" || e.ResponseStatus.Code != 201 {
		t.Errorf("secret: %+v", e)
	}
	if e := secrets["get"]; e.ResponseStatus == nil || e.ResponseStatus.Code != 404 || e.ResponseStatus.Reason != metav1.StatusReasonNotFound {
		t.Errorf("missing secret: %+v", e.ResponseStatus)
	}
	if e := complete(t, path, "namespaces")["create"]; e.RequestObject == nil || e.ResponseObject != nil {
		t.Errorf("namespace: %+v", e)
	}
	if all := events(t, path, func(e *auditv1.Event) bool {
		return e.User.Username == "system:apiserver" || e.RequestURI == "/readyz"
	}); len(all) > 0 {
		t.Errorf("not to be recorded: %+v", all)
	}
	if content, _ := os.ReadFile(path); bytes.Contains(content, []byte(password)) {
		t.Error("the log has the password")
	}
	if file, err := os.Stat(path); err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v: %v", file.Mode(), err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestAuditOfRefused: callers that are turned away are recorded, by the ID that
// they were answered with; what they sent as credentials is not.
func TestAuditOfRefused(t *testing.T) {
	t.Parallel()
	o, path := auditOptions(t)
	s := start(t, Options{DataDir: t.TempDir(), Audit: o, Authentication: auth.Options{DisableAnonymous: true}})
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer stranger.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", adminConfig(t, s).Host+"/api/v1/namespaces/default/secrets", nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer stolen-token")
	r.Header.Set("Audit-ID", "chosen-by-client")
	response, err := stranger.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 401 || response.Header.Get("Audit-Id") != "chosen-by-client" {
		t.Errorf("got %d, ID %q", response.StatusCode, response.Header.Get("Audit-Id"))
	}
	got := events(t, path, func(e *auditv1.Event) bool { return e.AuditID == "chosen-by-client" })
	if len(got) == 0 || got[0].ResponseStatus.Code != 401 || got[0].ResponseStatus.Reason != metav1.StatusReasonUnauthorized || got[0].ObjectRef.Resource != "secrets" {
		t.Errorf("recorded %+v", got)
	}
	if content, _ := os.ReadFile(path); bytes.Contains(content, []byte("stolen-token")) {
		t.Error("the log has the token")
	}
}

// TestAuditWebhook: events reach a webhook in batches, the last ones when the
// server stops.
func TestAuditWebhook(t *testing.T) {
	t.Parallel()
	received := make(chan auditv1.EventList, 1000)
	hook := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var list auditv1.EventList
		if err == nil {
			err = json.Unmarshal(body, &list)
		}
		if err != nil {
			t.Error(err)
		}
		received <- list
	}))
	defer hook.Close()
	o, _ := auditOptions(t)
	o.LogOptions.Path = ""
	o.WebhookOptions.ConfigFile = filepath.Join(t.TempDir(), "webhook.kubeconfig")
	o.WebhookOptions.BatchOptions.BatchConfig.MaxBatchWait = time.Hour
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	check(t, os.WriteFile(filepath.Join(filepath.Dir(o.WebhookOptions.ConfigFile), "ca.pem"), authority, 0o600))
	check(t, os.WriteFile(o.WebhookOptions.ConfigFile, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: hook, cluster: {server: '"+hook.URL+
		"', certificate-authority: ca.pem}}]\ncontexts: [{name: hook, context: {cluster: hook}}]\ncurrent-context: hook\n"), 0o600))
	s := start(t, Options{DataDir: t.TempDir(), Audit: o})
	_, err := clientOf(t, s).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	check(t, err)
	stop(t, s)
	close(received)
	n := 0
	for list := range received {
		for _, e := range list.Items {
			if e.Verb == "list" && e.ObjectRef != nil && e.ObjectRef.Resource == "configmaps" && e.ResponseObject != nil {
				n++
			}
		}
	}
	if n != 1 {
		t.Errorf("%d events of the list", n)
	}
}

// TestAuditOptions: nonsense is refused before the server starts.
func TestAuditOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*serveroptions.AuditOptions){
		"invalid audit log format xml":       func(o *serveroptions.AuditOptions) { o.LogOptions.Format = "xml" },
		"loading audit policy file":          func(o *serveroptions.AuditOptions) { o.PolicyFile += "missing" },
		"can't be a negative number":         func(o *serveroptions.AuditOptions) { o.LogOptions.MaxAge = -1 },
		"invalid audit log mode fire-forget": func(o *serveroptions.AuditOptions) { o.LogOptions.BatchOptions.Mode = "fire-forget" },
	} {
		o, _ := auditOptions(t)
		change(o)
		s, err := New(Options{DataDir: t.TempDir(), Audit: o, BindAddress: []byte{127, 0, 0, 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
