package audit

import (
	"fmt"
	"io"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditapi "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/plugin/pkg/audit/log"
	"sigs.k8s.io/randfill"
)

// oracle is the line that upstream writes.
func oracle(e *auditapi.Event) (string, error) {
	line, err := runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), e)
	return string(line), err
}

func compareLine(t *testing.T, e *auditapi.Event) {
	t.Helper()
	want, wantErr := oracle(e)
	got, gotErr := appendLine(nil, e)
	switch {
	case (wantErr == nil) != (gotErr == nil):
		t.Errorf("error %v, upstream's %v", gotErr, wantErr)
	case wantErr == nil && string(got) != want:
		t.Errorf("line\n%swant\n%s", got, want)
	}
}

// FuzzLine: an event's line is upstream's.
func FuzzLine(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed, "a<b>&\"\\\u2028\xff\n", []byte(`{"kind": "Pod" , "a":[1,"<"]}`))
	}
	f.Add(int64(0), "", []byte(nil))
	f.Add(int64(1), "\x00", []byte("{"))
	f.Fuzz(func(t *testing.T, seed int64, text string, object []byte) {
		var e auditapi.Event
		filler := randfill.NewWithSeed(seed).NilChance(.4).NumElements(0, 3).Funcs(
			func(u *runtime.Unknown, _ randfill.Continue) {
				u.Raw, u.ContentType = object, runtime.ContentTypeJSON
			},
			func(m *metav1.MicroTime, c randfill.Continue) {
				if c.Bool() {
					m.Time = time.UnixMicro(c.Int63n(1 << 50))
				}
			},
			func(s *metav1.Status, c randfill.Continue) {
				c.FillNoCustom(s)
				if c.Bool() { // as most are
					s.TypeMeta, s.ListMeta, s.Details = metav1.TypeMeta{}, metav1.ListMeta{}, nil
				}
			},
			func(s *string, c randfill.Continue) {
				if *s = text; c.Bool() {
					*s = c.String(10)
				}
			},
		)
		filler.Fill(&e)
		compareLine(t, &e)
	})
}

// TestLine: what is empty, and what is nil.
func TestLine(t *testing.T) {
	for _, e := range []*auditapi.Event{
		{},
		event(),
		{User: authenticationv1.UserInfo{Extra: map[string]authenticationv1.ExtraValue{"a": nil, "b": {}, "<": {"c"}}}},
		{User: authenticationv1.UserInfo{Groups: []string{}, Extra: map[string]authenticationv1.ExtraValue{}}, SourceIPs: []string{}},
		{ImpersonatedUser: &authenticationv1.UserInfo{}, AuthenticationMetadata: &auditapi.AuthenticationMetadata{}, ObjectRef: &auditapi.ObjectReference{}, ResponseStatus: &metav1.Status{}},
		{RequestObject: &runtime.Unknown{}, ResponseObject: &runtime.Unknown{Raw: []byte("{}"), ContentType: "text/plain"}},
		{RequestObject: &runtime.Unknown{Raw: []byte("{\"a\": \"\u2028<\"\n}")}},
		{Annotations: map[string]string{"b": "1", "a": "\x00", "\xff": ""}},
	} {
		compareLine(t, e)
	}
}

// event is one as most are.
func event() *auditapi.Event {
	return &auditapi.Event{
		Level: auditapi.LevelMetadata, AuditID: "0d5a0b2e-5b3c-4e9e-8c39-5a9f8c2f1f11", Stage: auditapi.StageResponseComplete,
		RequestURI: "/api/v1/namespaces/default/pods/web-0?timeout=10s&limit=1", Verb: "get",
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:default:web", UID: "9a2f", Groups: []string{"system:serviceaccounts", "system:authenticated"},
			Extra: map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"JTI=1"}},
		},
		SourceIPs: []string{"10.0.0.1"}, UserAgent: "kubectl/v1.37.2",
		ObjectRef:      &auditapi.ObjectReference{Resource: "pods", Namespace: "default", Name: "web-0", APIVersion: "v1"},
		ResponseStatus: &metav1.Status{Code: 200}, RequestReceivedTimestamp: metav1.NowMicro(), StageTimestamp: metav1.NowMicro(),
		Annotations: map[string]string{"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "because"},
	}
}

func BenchmarkFile(b *testing.B) {
	for _, backend := range []audit.Backend{&file{out: io.Discard}, log.NewBackend(io.Discard, log.FormatJson, auditv1.SchemeGroupVersion)} {
		b.Run(fmt.Sprintf("%T", backend), func(b *testing.B) {
			e := event()
			b.ReportAllocs()
			for b.Loop() {
				backend.ProcessEvents(e)
			}
		})
	}
}
