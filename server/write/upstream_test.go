package write

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/howdah/howdah/server/resource"
)

// upstreamHandler is kube-apiserver's own handler for a row, the oracle of
// these tests.
func upstreamHandler(row *resource.Resource, verb string, d Deps) http.Handler {
	d = d.withDefaults()
	scope := &handlers.RequestScope{
		Namer:                       handlers.ContextBasedNaming{Namer: runtime.Namer(meta.NewAccessor()), ClusterScoped: !row.Namespaced},
		Serializer:                  row.Serializer,
		ParameterCodec:              row.ParameterCodec,
		Creater:                     row.Creater,
		Convertor:                   row.Convertor,
		Defaulter:                   row.Defaulter,
		Typer:                       row.Typer,
		UnsafeConvertor:             row.UnsafeConvertor,
		Authorizer:                  authorizerfactory.NewAlwaysAllowAuthorizer(),
		EquivalentResourceMapper:    d.Equivalents,
		TableConvertor:              row.Table,
		FieldManager:                row.FieldManager,
		Resource:                    row.GroupVersionResource,
		Kind:                        row.Kind,
		AcceptsGroupVersionDelegate: row.AcceptsGroupVersion,
		Subresource:                 row.Subresource,
		MetaGroupVersion:            metav1.SchemeGroupVersion,
		HubGroupVersion:             row.Hub,
		MaxRequestBodyBytes:         d.MaxBodyBytes,
	}
	admit := d.Admission
	if admit == nil {
		admit = nothing{}
	}
	switch verb {
	case "create":
		if named, ok := row.Storage.(rest.NamedCreater); ok {
			return handlers.CreateNamedResource(named, scope, admit)
		}
		return handlers.CreateResource(row.Storage.(rest.Creater), scope, admit)
	case "update":
		return handlers.UpdateResource(row.Storage.(rest.Updater), scope, admit)
	case "patch":
		return handlers.PatchResource(row.Storage.(rest.Patcher), scope, admit, []string{jsonPatch, mergePatch, strategic, applyPatch})
	case "delete":
		return handlers.DeleteResource(row.Storage.(rest.GracefulDeleter), true, scope, admit)
	case "deletecollection":
		return handlers.DeleteCollection(row.Storage.(rest.CollectionDeleter), true, scope, admit)
	}
	panic(verb)
}

// nothing is admission that has no say.
type nothing struct{}

func (nothing) Handles(admission.Operation) bool { return false }

// both are two servers that get the same requests.
type both struct {
	ours, upstreams *server

	// apart tells that the servers have got a request in different seconds.
	apart bool
}

func newBoth(t testing.TB, d Deps) *both {
	b := &both{ours: newServer(t, d), upstreams: newServer(t, d)}
	b.upstreams.handlerOf = upstreamHandler
	return b
}

var differs = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`),
	regexp.MustCompile(`gen-[a-z0-9]{5}`),
}

// scrub hides what two servers can't have in common.
func scrub(text string) string {
	for _, expression := range differs {
		text = expression.ReplaceAllString(text, "X")
	}
	return text
}

// managers is an object's metadata.managedFields in JSON.
var managers = regexp.MustCompile(`"managedFields":\[.*?\}\]`)

// sortManagers puts the managers of fields in order of their text.
func sortManagers(body string) string {
	return managers.ReplaceAllStringFunc(body, func(list string) string {
		entries := strings.Split(strings.TrimSuffix(strings.TrimPrefix(list, `"managedFields":[`), "]"), `,{"manager":`)
		entries[0] = strings.TrimPrefix(entries[0], `{"manager":`)
		slices.Sort(entries)
		return strings.Join(entries, "\n")
	})
}

// call sends the request to both, and compares all that clients see. Managers
// of fields are in the order of their seconds, which means nothing once the
// servers have got a request in different ones.
func (b *both) call(t testing.TB, method, url, contentType, body string, header ...string) answer {
	t.Helper()
	began := time.Now().Unix()
	ours := b.ours.call(t, method, url, contentType, body, header...)
	theirs := b.upstreams.call(t, method, url, contentType, body, header...)
	b.apart = b.apart || time.Now().Unix() != began
	for _, a := range []*answer{&ours, &theirs} {
		a.body = strings.TrimSpace(scrub(a.body))
		if b.apart {
			a.body = sortManagers(a.body)
		}
	}
	if ours.code != theirs.code || ours.body != theirs.body || !slices.Equal(ours.warnings, theirs.warnings) || ours.contentType != theirs.contentType {
		t.Errorf("%s %s %s\n%s\nours\n%+v\nupstream's\n%+v", method, url, contentType, body, ours, theirs)
	}
	return ours
}
