package audit

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditapi "k8s.io/apiserver/pkg/apis/audit"

	"github.com/howdah/howdah/server/transcode"
)

// appendLine appends the JSON of an event in audit.k8s.io/v1 and a newline, byte
// for byte what upstream's serializer makes of it, without reflection: an event
// is written for each request. What few events have is left to encoding/json.
func appendLine(line []byte, e *auditapi.Event) ([]byte, error) {
	w := members{out: line}
	w.out = append(w.out, `{"kind":"Event","apiVersion":"audit.k8s.io/v1"`...)
	w.more = true
	w.text("level", string(e.Level))
	w.text("auditID", string(e.AuditID))
	w.text("stage", string(e.Stage))
	w.text("requestURI", e.RequestURI)
	w.text("verb", e.Verb)
	w.user("user", &e.User)
	if e.ImpersonatedUser != nil {
		w.user("impersonatedUser", e.ImpersonatedUser)
	}
	if a := e.AuthenticationMetadata; a != nil {
		w.begin("authenticationMetadata")
		w.optional("impersonationConstraint", a.ImpersonationConstraint)
		w.end()
	}
	w.texts("sourceIPs", e.SourceIPs)
	w.optional("userAgent", e.UserAgent)
	if e.ObjectRef != nil {
		w.reference(e.ObjectRef)
	}
	if e.ResponseStatus != nil {
		w.status(e.ResponseStatus)
	}
	w.object("requestObject", e.RequestObject)
	w.object("responseObject", e.ResponseObject)
	w.time("requestReceivedTimestamp", e.RequestReceivedTimestamp)
	w.time("stageTimestamp", e.StageTimestamp)
	if len(e.Annotations) > 0 {
		w.begin("annotations")
		var room [8]string
		for _, key := range sorted(room[:0], e.Annotations) {
			w.quoted(key)
			w.out = transcode.AppendString(w.out, []byte(e.Annotations[key]))
		}
		w.end()
	}
	return append(w.out, "}\n"...), w.err
}

// sorted appends the keys of a map in the order in which encoding/json has them.
func sorted[V any](keys []string, m map[string]V) []string {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// members writes an object member by member.
type members struct {
	out  []byte
	more bool // another member stands before
	err  error
}

// name writes a name that needs no escapes.
func (w *members) name(name string) {
	w.comma()
	w.out = append(w.out, '"')
	w.out = append(w.out, name...)
	w.out = append(w.out, `":`...)
}

// quoted writes any name.
func (w *members) quoted(name string) {
	w.comma()
	w.out = append(transcode.AppendString(w.out, []byte(name)), ':')
}

func (w *members) comma() {
	if w.more {
		w.out = append(w.out, ',')
	}
	w.more = true
}

func (w *members) begin(name string) {
	w.name(name)
	w.out = append(w.out, '{')
	w.more = false
}

func (w *members) end() {
	w.out = append(w.out, '}')
	w.more = true
}

func (w *members) text(name, value string) {
	w.name(name)
	w.out = transcode.AppendString(w.out, []byte(value))
}

func (w *members) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *members) texts(name string, values []string) {
	if len(values) > 0 {
		w.name(name)
		w.list(values)
	}
}

func (w *members) list(values []string) {
	if values == nil {
		w.out = append(w.out, "null"...)
		return
	}
	w.out = append(w.out, '[')
	for i, value := range values {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = transcode.AppendString(w.out, []byte(value))
	}
	w.out = append(w.out, ']')
}

func (w *members) user(name string, u *authenticationv1.UserInfo) {
	w.begin(name)
	w.optional("username", u.Username)
	w.optional("uid", u.UID)
	w.texts("groups", u.Groups)
	if len(u.Extra) > 0 {
		w.begin("extra")
		var room [8]string
		for _, key := range sorted(room[:0], u.Extra) {
			w.quoted(key)
			w.list(u.Extra[key])
		}
		w.end()
	}
	w.end()
}

func (w *members) reference(r *auditapi.ObjectReference) {
	w.begin("objectRef")
	w.optional("resource", r.Resource)
	w.optional("namespace", r.Namespace)
	w.optional("name", r.Name)
	w.optional("uid", string(r.UID))
	w.optional("apiGroup", r.APIGroup)
	w.optional("apiVersion", r.APIVersion)
	w.optional("resourceVersion", r.ResourceVersion)
	w.optional("subresource", r.Subresource)
	w.end()
}

func (w *members) status(s *metav1.Status) {
	if s.TypeMeta != (metav1.TypeMeta{}) || s.ListMeta != (metav1.ListMeta{}) || s.Details != nil {
		w.other("responseStatus", s)
		return
	}
	w.begin("responseStatus")
	w.name("metadata")
	w.out = append(w.out, "{}"...)
	w.optional("status", s.Status)
	w.optional("message", s.Message)
	w.optional("reason", string(s.Reason))
	if s.Code != 0 {
		w.name("code")
		w.out = strconv.AppendInt(w.out, int64(s.Code), 10)
	}
	w.end()
}

func (w *members) object(name string, o *runtime.Unknown) {
	if o != nil {
		w.other(name, o)
	}
}

// other leaves a value to encoding/json.
func (w *members) other(name string, value any) {
	encoded, err := json.Marshal(value)
	if err != nil {
		w.err = err
		return
	}
	w.name(name)
	w.out = append(w.out, encoded...)
}

func (w *members) time(name string, t metav1.MicroTime) {
	w.name(name)
	if t.IsZero() {
		w.out = append(w.out, "null"...)
		return
	}
	w.out = append(w.out, '"')
	w.out = appendTime(w.out, t.UTC())
	w.out = append(w.out, '"')
}

// appendTime is AppendFormat(out, metav1.RFC3339Micro) of a time in UTC.
func appendTime(out []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 1000 || year > 9999 {
		return t.AppendFormat(out, metav1.RFC3339Micro)
	}
	hour, minute, second := t.Clock()
	out = append(strconv.AppendInt(out, int64(year), 10), '-')
	out = append(appendTwo(out, int(month)), '-')
	out = append(appendTwo(out, day), 'T')
	out = append(appendTwo(out, hour), ':')
	out = append(appendTwo(out, minute), ':')
	out = append(appendTwo(out, second), '.')
	micros := t.Nanosecond() / 1000
	return append(appendTwo(appendTwo(appendTwo(out, micros/10_000), micros/100%100), micros%100), 'Z')
}

func appendTwo(out []byte, n int) []byte { return append(out, byte('0'+n/10), byte('0'+n%10)) }
