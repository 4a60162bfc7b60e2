package write

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestConcurrentChanges: nobody's patch is lost, and only one of several
// updates from one version wins.
func TestConcurrentChanges(t *testing.T) {
	s := newServer(t, Deps{})
	first := s.must(t, "POST", configMaps, jsonType, configMap("c", `{"a":"b"}`))
	version := at(first, "metadata", "resourceVersion")
	const clients, rounds = 8, 20
	for _, url := range []string{configMaps + "/c"} { // makes the handlers, one at a time
		s.must(t, "PUT", url+"?dryRun=All", jsonType, configMap("c", `{}`))
		s.must(t, "PATCH", url+"?dryRun=All", strategic, `{}`)
	}
	var wg sync.WaitGroup
	won := make([]bool, clients)
	for client := range clients {
		wg.Go(func() {
			a := s.call(t, "PUT", configMaps+"/c", jsonType, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","resourceVersion":%q},"data":{"winner":"%d"}}`, version, client))
			won[client] = a.code == http.StatusOK
			if !won[client] && a.code != http.StatusConflict {
				t.Errorf("update: %d %s", a.code, a.body)
			}
			for round := range rounds {
				form := []string{strategic, mergePatch}[round%2]
				if a := s.call(t, "PATCH", configMaps+"/c", form, fmt.Sprintf(`{"data":{"k%d-%d":"v"}}`, client, round)); a.code != http.StatusOK {
					t.Errorf("patch: %d %s", a.code, a.body)
				}
			}
		})
	}
	wg.Wait()
	winners := 0
	for _, w := range won {
		if w {
			winners++
		}
	}
	if winners > 1 {
		t.Errorf("%d updates from one version succeeded", winners)
	}
	last := s.must(t, "GET", configMaps+"/c", "", "")
	if data := at(last, "data").(map[string]any); len(data) < clients*rounds {
		t.Errorf("%d of %d patches are there", len(data), clients*rounds)
	}
	owned, _ := json.Marshal(at(last, "metadata", "managedFields"))
	if n := strings.Count(string(owned), `"f:k`); n != clients*rounds {
		t.Errorf("%d of %d fields are owned", n, clients*rounds)
	}
}

// slow is admission that takes until the request's time is over.
type slow struct{}

func (slow) Handles(admission.Operation) bool { return true }

func (slow) Admit(ctx context.Context, _ admission.Attributes, _ admission.ObjectInterfaces) error {
	<-ctx.Done()
	return errors.New("took too long")
}

func TestTimeout(t *testing.T) {
	s := newBoth(t, Deps{Admission: slow{}})
	for _, b := range []*server{s.ours, s.upstreams} {
		next := b.http
		b.http = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	if a := s.call(t, "POST", configMaps, jsonType, configMap("c", `{}`)); a.code != http.StatusGatewayTimeout {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// creatorsOnly allows creation of one name.
type creatorsOnly struct{ name string }

func (c creatorsOnly) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetVerb() == "create" && a.GetName() == c.name {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "not you", nil
}

// TestCreateByUpdate: who may update may not create by it.
func TestCreateByUpdate(t *testing.T) {
	s := newServer(t, Deps{Authorizer: creatorsOnly{"mine"}})
	for name, want := range map[string]int{"mine": http.StatusCreated, "theirs": http.StatusForbidden} {
		for verb, call := range map[string]func() answer{
			"apply": func() answer {
				return s.call(t, "PATCH", configMaps+"/"+name+"?fieldManager=m", applyPatch, configMap(name, `{}`))
			},
			"update": func() answer {
				return s.call(t, "PUT", leases+"/"+name, jsonType, fmt.Sprintf(`{"metadata":{"name":%q},"spec":{}}`, name))
			},
		} {
			if a := call(); a.code != want {
				t.Errorf("%s of %s: %d %s, want %d", verb, name, a.code, a.body, want)
			}
		}
	}
	a := s.call(t, "PUT", leases+"/theirs", jsonType, `{"metadata":{"name":"theirs"},"spec":{}}`)
	want := `leases.coordination.k8s.io "theirs" is forbidden: User "admin" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "default": not you`
	if message := at(a.object(t), "message"); message != want {
		t.Errorf("message is\n%s\nwant\n%s", message, want)
	}
}

// TestAnswerIsStored: an answer in protobuf is the stored object with its revision.
func TestAnswerIsStored(t *testing.T) {
	s := newServer(t, Deps{})
	for _, step := range []step{
		{"POST", configMaps, jsonType, configMap("c", `{"k":"v"}`), 201},
		{"PUT", configMaps + "/c", jsonType, configMap("c", `{"k":"w"}`), 200},
		{"PUT", configMaps + "/c", jsonType, configMap("c", `{"k":"w"}`), 200}, // changes nothing
		{"PATCH", configMaps + "/c", mergePatch, `{"data":{"k":"x"}}`, 200},
		{"PATCH", configMaps + "/c?dryRun=All", mergePatch, `{"data":{"k":"y"}}`, 200},
	} {
		inJSON := s.call(t, step.method, dry(step.url), step.contentType, step.body)
		a := s.call(t, step.method, step.url, step.contentType, step.body, "Accept", runtime.ContentTypeProtobuf)
		if a.code != step.code || inJSON.code != step.code {
			t.Fatalf("%d and %d, want %d", a.code, inJSON.code, step.code)
		}
		row := s.table.Lookup(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "")
		obj, _, err := newEndpoint(row, Deps{}).decoders.byType[runtime.ContentTypeProtobuf].lax.Decode([]byte(a.body), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		document, _ := runtime.Encode(newEndpoint(row, Deps{}).decoders.toJSON, obj)
		object := answer{body: string(document)}.object(t)
		if got, want := at(object, "data", "k"), at(inJSON.object(t), "data", "k"); got != want {
			t.Errorf("data is %v, want %v", got, want)
		}
		version, err := strconv.Atoi(at(object, "metadata", "resourceVersion").(string))
		if err != nil || version == 0 {
			t.Errorf("resourceVersion is %v", at(object, "metadata", "resourceVersion"))
		}
	}
}

func dry(url string) string {
	if strings.Contains(url, "dryRun") {
		return url
	}
	return url + "?dryRun=All"
}
