package impersonation

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	upstream "k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// rights allows what it lists: "verb group/resource/subresource/namespace/name",
// with "*" for what follows.
type rights []string

func (r rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	asked := describeAttributes(a)
	for _, right := range r {
		if prefix, ok := strings.CutSuffix(right, "*"); right == asked || ok && strings.HasPrefix(asked, prefix) {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "no right", nil
}

func describeAttributes(a authorizer.Attributes) string {
	return fmt.Sprintf("%s %s/%s/%s/%s/%s", a.GetVerb(), a.GetAPIGroup(), a.GetResource(), a.GetSubresource(), a.GetNamespace(), a.GetName())
}

// chance decides by a hash of the question, so that both sides get one answer.
type chance struct{ seed, outOf uint32 }

func (c chance) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	h := fnv.New32()
	fmt.Fprint(h, c.seed, describeAttributes(a), a.GetUser().GetExtra())
	if h.Sum32()%c.outOf == 0 {
		return authorizer.DecisionNoOpinion, "by chance", nil
	}
	return authorizer.DecisionAllow, "", nil
}

// answer is what became of a request: the user it was served as, or the status.
func answer(w *httptest.ResponseRecorder, served user.Info, left http.Header) string {
	if served != nil {
		names := []string{}
		for name := range left {
			if strings.HasPrefix(name, "Impersonate-") {
				names = append(names, name)
			}
		}
		groups := slices.Clone(served.GetGroups())
		extra, _ := json.Marshal(served.GetExtra())
		return fmt.Sprintf("%s %s %q %s %v", served.GetName(), served.GetUID(), groups, strings.Replace(string(extra), "null", "{}", 1), names)
	}
	var status metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		return fmt.Sprint(w.Code, w.Body)
	}
	return fmt.Sprint(w.Code, " ", status.Message)
}

func newRequest(caller user.Info, header http.Header) *http.Request {
	r := httptest.NewRequest("GET", "/api/v1/namespaces/default/pods/web", nil)
	r.Header = header.Clone()
	ctx := request.WithUser(r.Context(), caller)
	return r.WithContext(request.WithRequestInfo(ctx, &request.RequestInfo{
		IsResourceRequest: true, Path: r.URL.Path, Verb: "get", APIVersion: "v1", Namespace: "default", Resource: "pods", Name: "web",
	}))
}

func upstreamAnswer(a authorizer.UnconditionalAuthorizer, caller user.Info, header http.Header) string {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	var served user.Info
	var left http.Header
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served, _ = request.UserFrom(r.Context())
		left = r.Header
	})
	w := httptest.NewRecorder()
	upstream.WithConstrainedImpersonation(next, a, serializer.NewCodecFactory(scheme)).ServeHTTP(w, newRequest(caller, header))
	return answer(w, served, left)
}

func ourAnswer(t testing.TB, a authorizer.UnconditionalAuthorizer, caller user.Info, header http.Header) string {
	r := newRequest(caller, header)
	w := httptest.NewRecorder()
	wanted, err := Take(r.Header)
	if err == nil && wanted == nil {
		return answer(w, caller, r.Header)
	}
	if err == nil {
		attributes, attributesErr := filters.GetAuthorizerAttributes(r.Context())
		if attributesErr != nil {
			t.Fatal(attributesErr)
		}
		var is *Impersonated
		if is, err = New(a).Check(r.Context(), wanted, attributes); err == nil {
			return answer(w, is.User, r.Header)
		}
	}
	status := responsewriters.ErrorToAPIStatus(err)
	w.Code = int(status.Code)
	if err := json.NewEncoder(w.Body).Encode(status); err != nil {
		t.Fatal(err)
	}
	return answer(w, nil, nil)
}

var callers = []*user.DefaultInfo{
	{Name: "eve", Groups: []string{"system:authenticated"}},
	{Name: "system:serviceaccount:kube-system:agent", Groups: []string{"system:serviceaccounts"}, Extra: map[string][]string{
		"authentication.kubernetes.io/node-name": {"n1"}, "authentication.kubernetes.io/pod-name": {"agent-x"}}},
	{Name: "system:serviceaccount:kube-system:agent", Extra: map[string][]string{"authentication.kubernetes.io/node-name": {"n1", "n2"}}},
	{Name: "notanaccount", Extra: map[string][]string{"authentication.kubernetes.io/node-name": {"n1"}}},
}

func TestModes(t *testing.T) {
	for name, c := range map[string]struct {
		rights rights
		caller *user.DefaultInfo
		header http.Header
		want   string // the start of it
	}{
		"nothing asked": {nil, callers[0], http.Header{}, "eve"},
		"old way":       {rights{"impersonate /users///ada"}, callers[0], http.Header{"Impersonate-User": {"ada"}}, `ada  ["system:authenticated"]`},
		"no right": {nil, callers[0], http.Header{"Impersonate-User": {"ada"}},
			`403 pods "web" is forbidden: User "eve" cannot impersonate-on:user-info:get resource "pods" in API group "" in the namespace "default": no right`},
		"both rights":        {rights{"impersonate:user-info authentication.k8s.io/users///ada", "impersonate-on:user-info:get *"}, callers[0], http.Header{"Impersonate-User": {"ada"}}, "ada "},
		"one of both rights": {rights{"impersonate:user-info authentication.k8s.io/users///ada", "impersonate-on:user-info:list *"}, callers[0], http.Header{"Impersonate-User": {"ada"}}, "403 "},
		"the privileged group": {rights{"impersonate:user-info *", "impersonate-on:user-info:get *"}, callers[0], http.Header{"Impersonate-User": {"ada"}, "Impersonate-Group": {"system:masters"}},
			`403 groups.authentication.k8s.io "system:masters" is forbidden`},
		"a service account":            {rights{"impersonate /serviceaccounts//a/b"}, callers[0], http.Header{"Impersonate-User": {"system:serviceaccount:a:b"}}, `system:serviceaccount:a:b  ["system:serviceaccounts" "system:serviceaccounts:a" "system:authenticated"]`},
		"its own node":                 {rights{"impersonate:associated-node authentication.k8s.io/nodes///*", "impersonate-on:associated-node:get *"}, callers[1], http.Header{"Impersonate-User": {"system:node:n1"}}, `system:node:n1  ["system:nodes" "system:authenticated"]`},
		"another node":                 {rights{"impersonate:associated-node authentication.k8s.io/nodes///*", "impersonate-on:associated-node:get *"}, callers[1], http.Header{"Impersonate-User": {"system:node:n2"}}, "403 "},
		"a node, not being an account": {rights{"impersonate:associated-node *", "impersonate-on:associated-node:get *"}, callers[3], http.Header{"Impersonate-User": {"system:node:n1"}}, "403 "},
		"anonymous":                    {rights{"impersonate *"}, callers[0], http.Header{"Impersonate-User": {"system:anonymous"}}, `system:anonymous  ["system:unauthenticated"]`},
		"a group of nobody":            {rights{"*"}, callers[0], http.Header{"Impersonate-Group": {"system:masters"}}, "400 "},
		"an extra of nobody":           {rights{"*"}, callers[0], http.Header{"Impersonate-Extra-A": {"b"}}, "400 "},
		"a UID of nobody":              {rights{"*"}, callers[0], http.Header{"Impersonate-Uid": {"b"}}, "400 "},
		"the second of two names":      {rights{"impersonate /users///ada"}, callers[0], http.Header{"Impersonate-User": {"ada", "root"}}, "ada "},
		"one group of two":             {rights{"impersonate /users///ada", "impersonate /groups///a"}, callers[0], http.Header{"Impersonate-User": {"ada"}, "Impersonate-Group": {"a", "b"}}, "403 "},
		"encoded extra": {rights{"impersonate /users///ada", "impersonate authentication.k8s.io/userextras/example.org/x//v"}, callers[0], http.Header{"Impersonate-User": {"ada"}, "Impersonate-Extra-Example.org%2fx": {"v"}},
			`ada  ["system:authenticated"] {"example.org/x":["v"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ourAnswer(t, c.rights, c.caller, c.header)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if want := upstreamAnswer(c.rights, c.caller, c.header); got != want {
				t.Errorf("got      %s\nupstream %s", got, want)
			}
			if strings.Contains(got, "Impersonate-") && !strings.HasPrefix(got, "4") {
				t.Errorf("headers are left: %s", got)
			}
		})
	}
}

// Whatever is asked for and allowed, upstream's handler gives the same answer.
func compare(t *testing.T, name, uid, groups, key, values string, seed, outOf uint32, caller uint8) {
	header := http.Header{}
	if name != "" {
		header["Impersonate-User"] = []string{name}
	}
	if uid != "" {
		header["Impersonate-Uid"] = []string{uid}
	}
	if groups != "" {
		header["Impersonate-Group"] = strings.Split(groups, ",")
	}
	if key != "" {
		header[http.CanonicalHeaderKey("Impersonate-Extra-"+key)] = strings.Split(values, ",") // as servers read it
	}
	a := chance{seed, outOf%16 + 1}
	who := callers[int(caller)%len(callers)]
	got, want := ourAnswer(t, a, who, header), upstreamAnswer(a, who, header)
	if got != want {
		t.Errorf("%v as %v\ngot      %s\nupstream %s", who, header, got, want)
	}
}

func FuzzLikeUpstream(f *testing.F) {
	f.Add("ada", "", "a,b", "x", "v", uint32(1), uint32(9), uint8(0))
	f.Add("system:anonymous", "", "system:masters", "X", "", uint32(3), uint32(5), uint8(2))
	f.Add("", "u", ",", "%2f", "", uint32(3), uint32(5), uint8(3))
	f.Fuzz(compare)
}

func TestLikeUpstream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for range 5000 {
		compare(t,
			pick("ada", "ada", "system:node:n1", "system:node:n2", "system:node:N1", "system:serviceaccount:a:b", "system:serviceaccount:a", "system:anonymous", ""),
			pick("", "", "u"),
			pick("", "", "a", "a,b", "a,b,c,d,e", ",", "system:masters", "system:unauthenticated", "system:authenticated,a"),
			pick("", "", "x", "example.org/x", "Example.org%2fX", "%zz", "a b"),
			pick("v", "v,w", "v,w,x,y", ""),
			random.Uint32(), random.Uint32N(16), uint8(random.Uint32N(4)))
		if t.Failed() {
			return
		}
	}
}
