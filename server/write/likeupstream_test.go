package write

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
)

// A step is one request of a scenario, and the code that it is answered with.
type step struct {
	method, url, contentType, body string
	code                           int
}

// TestLikeUpstream runs scenarios against our handlers and kube-apiserver's:
// each answer, headers and warnings included, is the same, and so is what
// admission is told.
func TestLikeUpstream(t *testing.T) {
	pod := func(meta string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":%s,"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80},{"containerPort":53,"protocol":"UDP"}],"env":[{"name":"A","value":"1"}],
			"resources":{"requests":{"cpu":"0.1","memory":"1Gi"}}}],"tolerations":[{"key":"k","operator":"Exists"}]}}`, meta)
	}
	scenarios := map[string][]step{
		"bodies": {
			{"POST", configMaps, jsonType, configMap("a", `{"k":"v"}`), 201},
			{"POST", configMaps, yamlType, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels: {x: z}\ndata:\n  k: v\n", 201},
			{"POST", configMaps, "application/json; charset=utf-8", configMap("c", `{}`), 201},
			{"POST", configMaps, jsonType, `{"metadata":{"name":"d"}}`, 201},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"e","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z","deletionTimestamp":"2020-01-01T00:00:00Z","selfLink":"x","generation":7}}`, 201},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"f","resourceVersion":"7"}}`, 500},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"gen-"}}`, 201},
			{"POST", configMaps + "?dryRun=All", jsonType, configMap("g", `{"k":"v"}`), 201},
			{"GET", configMaps + "/g", "", "", 404},
			{"POST", configMaps + "?fieldManager=me&fieldValidation=Warn", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"h","foo":1},"data":{"k":"v","k":"w"},"bar":2}`, 201},
			{"POST", configMaps + "?fieldValidation=Ignore", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"i","foo":1},"bar":2}`, 201},
			{"POST", configMaps, yamlType, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: j\n  name: j\nfoo: {}\ndata: {}\n", 201},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"k","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"},{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"},{"apiVersion":"v1","kind":"Pod","name":"q","uid":"u"}]}}`, 201},
			{"POST", "/api/v1/namespaces", jsonType, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}`, 201},
			{"PATCH", "/api/v1/namespaces/n", mergePatch, `{"metadata":{"labels":{"a":"b"}}}`, 200},
			{"DELETE", "/api/v1/namespaces/n", "", "", 200},
			{"PUT", "/api/v1/namespaces/n/finalize", jsonType, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"},"spec":{"finalizers":[]}}`, 200},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mf","managedFields":[{"manager":"x","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}]},"data":{"k":"v"}}`, 201},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mf2","managedFields":[]},"data":{"k":"v"}}`, 201},
		},
		"updates": {
			{"POST", deployments, jsonType, deployment("web"), 201},
			{"PUT", deployments + "/web", jsonType, strings.Replace(deployment("web"), `"spec":{`, `"spec":{"replicas":3,`, 1), 200},
			{"PUT", deployments + "/web", jsonType, strings.Replace(deployment("web"), `"spec":{`, `"spec":{"replicas":3,`, 1), 200},
			{"PUT", deployments + "/web?fieldManager=other", jsonType, strings.Replace(deployment("web"), `"image":"j"`, `"image":"k"`, 1), 200},
			{"PUT", deployments + "/web?dryRun=All", jsonType, strings.Replace(deployment("web"), `"image":"j"`, `"image":"l"`, 1), 200},
			{"PUT", deployments + "/web/status", jsonType, strings.Replace(deployment("web"), `"spec":{`, `"status":{"replicas":2,"conditions":[{"type":"Available","status":"True"}]},"spec":{"replicas":9,`, 1), 200},
			{"PUT", deployments + "/web/scale", jsonType, `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":7}}`, 200},
			{"PATCH", deployments + "/web/scale", mergePatch, `{"spec":{"replicas":8}}`, 200},
			{"PATCH", deployments + "/web/scale?fieldManager=sc&force=true", applyPatch, `{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{"replicas":5},"metadata":{"name":"web","namespace":"default"}}`, 200},
			{"PATCH", deployments + "/web/scale?fieldManager=sd", applyPatch, `{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{"replicas":9},"metadata":{"name":"web","namespace":"default"}}`, 409},
			{"PUT", leases + "/new", jsonType, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"new"},"spec":{"holderIdentity":"me"}}`, 201},
			{"PUT", leases + "/new", jsonType, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"new"},"spec":{"holderIdentity":"me"}}`, 422},
			{"PUT", configMaps + "/new", jsonType, configMap("new", `{"k":"v"}`), 404},
			{"POST", configMaps, jsonType, configMap("new", `{"k":"v"}`), 201},
			{"PUT", configMaps + "/new", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new","managedFields":[{}]},"data":{"k":"v"}}`, 200},
			{"PUT", configMaps + "/new", jsonType, configMap("new", `{"k":"w"}`), 200},
			{"PUT", configMaps + "/new", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"},{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}]},"data":{"k":"v"}}`, 200},
			{"PUT", deployments + "/web", jsonType, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"a":"c"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[]}}}}`, 422},
		},
		"patches": {
			{"POST", deployments, jsonType, deployment("web"), 201},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"replicas":4,"template":{"spec":{"containers":[{"name":"c","image":"new"}]}}}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"$patch":"delete","name":"c"},{"name":"e","image":"x"}]}}}}`, 500},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"e"},{"name":"d"}],"containers":[{"$patch":"delete","name":"c"},{"name":"e","image":"x"}]}}}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"metadata":{"annotations":{"a":"b","c":null},"labels":null}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"foo":1},"metadata":{"labels":{"a":"b"}}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"template":{"spec":{"nodeSelector":{"$patch":"replace","x":"y"}}}}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"template":{"spec":{"nodeSelector":{"$patch":"replace","z":"y"},"containers":null}}}}`, 422},
			{"PATCH", deployments + "/web", strategic, `{"metadata":{"finalizers":["a/b","c/d"]}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"]}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"revisionHistoryLimit":null,"minReadySeconds":5}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{}`, 200},
			{"PATCH", deployments + "/web?dryRun=All", strategic, `{"spec":{"replicas":5}}`, 200},
			{"PATCH", deployments + "/web", mergePatch, `{"spec":{"replicas":null,"template":{"spec":{"containers":[{"name":"only","image":"i"}],"securityContext":{"runAsUser":1}}}}}`, 200},
			{"PATCH", deployments + "/web", mergePatch, `{"metadata":{"labels":{"a":null,"x":"y"}},"spec":{"template":{"spec":{"securityContext":null}}}}`, 200},
			{"PATCH", deployments + "/web", mergePatch, `{"kind":"Deployment","spec":{"paused":true}}`, 200},
			{"PATCH", deployments + "/web", mergePatch, `{"kind":"Pod"}`, 422},
			{"PATCH", deployments + "/web", mergePatch, `{"spec":{"replicas":"x"}}`, 422},
			{"PATCH", deployments + "/web", mergePatch, `{"spec":"x"}`, 422},
			{"PATCH", deployments + "/web", mergePatch, `[1]`, 400},
			{"PATCH", deployments + "/web", mergePatch, `null`, 400},
			{"PATCH", deployments + "/web?fieldValidation=Ignore", mergePatch, `{"foo":1,"spec":{"paused":false}}`, 200},
			{"PATCH", deployments + "/web", strategic, `[1]`, 400},
			{"PATCH", deployments + "/web", strategic, `null`, 200},
			{"PATCH", deployments + "/web", jsonPatch, `[{"op":"replace","path":"/spec/replicas","value":2},{"op":"add","path":"/metadata/labels","value":{"q":"r"}},{"op":"copy","from":"/metadata/labels/q","path":"/metadata/labels/s"},{"op":"move","from":"/metadata/labels/s","path":"/metadata/labels/t"}]`, 200},
			{"PATCH", deployments + "/web", jsonPatch, `[{"op":"add","path":"/spec/foo","value":1,"extra":2}]`, 200},
			{"PATCH", deployments + "/web?fieldValidation=Strict", jsonPatch, `[{"op":"add","path":"/spec/foo","value":1,"extra":2}]`, 422},
			{"PATCH", deployments + "/web", jsonPatch, `[{"op":"what","path":"/spec/foo","value":1}]`, 422},
			{"PATCH", deployments + "/web", jsonPatch, `[{"op":"add","path":"/spec/replicas","value":{}}]`, 422},
			{"PATCH", deployments + "/web", jsonPatch, `[{"op":"remove","path":"/metadata/name"}]`, 400},
			{"PATCH", deployments + "/web/status", strategic, `{"status":{"replicas":1,"conditions":[{"type":"Available","status":"True","lastUpdateTime":"2020-01-01T00:00:00Z"}]},"spec":{"replicas":100}}`, 200},
			{"PATCH", deployments + "/web/status", strategic, `{"status":{"conditions":[{"type":"Available","status":"False"},{"type":"Progressing","status":"True"}]}}`, 200},
			{"GET", deployments + "/web", "", "", 200},
		},
		"apply": {
			{"PATCH", deployments + "/web?fieldManager=a", applyPatch, deployment("web"), 201},
			{"PATCH", deployments + "/web?fieldManager=a", applyPatch, deployment("web"), 200},
			{"PATCH", deployments + "/web?fieldManager=b", applyPatch, strings.Replace(deployment("web"), `"image":"j"`, `"image":"k"`, 1), 409},
			{"PATCH", deployments + "/web?fieldManager=b&force=true", applyPatch, strings.Replace(deployment("web"), `"image":"j"`, `"image":"k"`, 1), 200},
			{"PATCH", deployments + "/web?fieldManager=a&dryRun=All", applyPatch, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"}}`, 200},
			{"PATCH", deployments + "/web?fieldManager=a", applyPatch, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"}}`, 200},
			{"PATCH", deployments + "/web", strategic, `{"spec":{"replicas":4,"template":{"spec":{"containers":[{"name":"c","image":"new"}]}}}}`, 200},
			{"PATCH", deployments + "/web?fieldManager=b", applyPatch, deployment("web"), 409},
			{"PATCH", deployments + "/web/status?fieldManager=s", applyPatch, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"status":{"replicas":3}}`, 200},
			{"PATCH", configMaps + "/why?fieldManager=a", applyPatch, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: why\ndata:\n  a: b\n  a: c\nfoo: 1\n", 500},
			{"PATCH", configMaps + "/why?fieldManager=a&fieldValidation=Strict", applyPatch, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: why\ndata:\n  a: b\n  a: c\n", 400},
			{"PATCH", configMaps + "/why?fieldManager=a", applyPatch, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: why\ndata:\n  a: b\n  a: c\n", 201},
			{"POST", configMaps, jsonType, configMap("z", `{"k":"v"}`), 201},
			{"PATCH", configMaps + "/z?fieldManager=a", applyPatch, configMap("z", `{"l":"v"}`), 200},
			{"PATCH", configMaps + "/z", mergePatch, `{"data":{"l":"w"}}`, 200},
			{"PATCH", configMaps + "/z", mergePatch, `{"metadata":{"managedFields":[]}}`, 200},
			{"PATCH", configMaps + "/z", mergePatch, `{"data":{"l":"x"}}`, 200},
			{"PATCH", configMaps + "/z?fieldManager=a", applyPatch, configMap("z", `{"l":"x"}`), 200},
		},
		"deletions": {
			{"POST", configMaps, jsonType, configMap("a", `{"k":"v"}`), 201},
			{"DELETE", configMaps + "/a?dryRun=All", "", "", 200},
			{"DELETE", configMaps + "/a", jsonType, `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background","preconditions":{"resourceVersion":"99"}}`, 409},
			{"DELETE", configMaps + "/a", jsonType, `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`, 200},
			{"POST", deployments, jsonType, deployment("web"), 201},
			{"DELETE", deployments + "/web", jsonType, `{"kind":"DeleteOptions","apiVersion":"apps/v1","propagationPolicy":"Foreground"}`, 200},
			{"GET", deployments + "/web", "", "", 200},
			{"PATCH", deployments + "/web", mergePatch, `{"metadata":{"finalizers":null}}`, 200},
			{"GET", deployments + "/web", "", "", 404},
			{"POST", deployments, jsonType, deployment("orphan"), 201},
			{"DELETE", deployments + "/orphan", jsonType, `{"orphanDependents":true}`, 200},
			{"DELETE", deployments + "/orphan", jsonType, `{"orphanDependents":false}`, 200},
			{"POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"f","finalizers":["a/b"]}}`, 201},
			{"DELETE", configMaps + "/f", "", "", 200},
			{"DELETE", configMaps + "/f", jsonType, `{"orphanDependents":false}`, 202},
			{"PUT", configMaps + "/f", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"f"}}`, 200},
			{"POST", pods, jsonType, pod(`{"name":"p","labels":{"x":"y"}}`), 201},
			{"POST", pods + "/p/binding", jsonType, `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}`, 201},
			{"POST", pods + "/p/binding", jsonType, `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}`, 409},
			{"POST", pods + "/q/binding", jsonType, `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"q"},"target":{"kind":"Node","name":"n"}}`, 404},
			{"PATCH", pods + "/p/status", strategic, `{"status":{"phase":"Running","podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}],"conditions":[{"type":"Ready","status":"True"}]}}`, 200},
			{"PATCH", pods + "/p/resize", strategic, `{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"0.2"}}}]}}`, 200},
			{"PATCH", pods + "/p/ephemeralcontainers", strategic, `{"spec":{"ephemeralContainers":[{"name":"e","image":"i"}]}}`, 200},
			{"DELETE", pods + "/p", jsonType, `{"gracePeriodSeconds":7}`, 200},
			{"DELETE", pods + "/p", jsonType, `{"gracePeriodSeconds":3}`, 200},
			{"DELETE", pods + "/p?gracePeriodSeconds=0", "", "", 200},
			{"POST", pods, jsonType, pod(`{"name":"p1","labels":{"x":"y"}}`), 201},
			{"POST", pods, jsonType, pod(`{"name":"p2","labels":{"x":"z"}}`), 201},
			{"DELETE", pods + "?labelSelector=x=z", "", "", 200},
			{"DELETE", pods + "?fieldSelector=metadata.name=p1", jsonType, `{"gracePeriodSeconds":0}`, 200},
			{"DELETE", pods + "?labelSelector=!!", "", "", 400},
			{"DELETE", pods, "text/plain", `{"gracePeriodSeconds":0}`, 415},
			{"DELETE", pods, jsonType, `{"gracePeriodSeconds":"x"}`, 400},
		},
	}
	for name, steps := range scenarios {
		t.Run(name, func(t *testing.T) {
			ours, theirs := &recorder{}, &recorder{}
			s := &both{ours: newServer(t, Deps{Admission: ours}), upstreams: newServer(t, Deps{Admission: theirs})}
			s.upstreams.handlerOf = upstreamHandler
			for _, step := range steps {
				a := s.call(t, step.method, step.url, step.contentType, step.body)
				if a.code != step.code {
					t.Errorf("%s %s %s: %d %s, want %d", step.method, step.url, step.body, a.code, a.body, step.code)
				}
				if us, them := ours.take(), theirs.take(); !slices.Equal(us, them) {
					t.Errorf("%s %s %s\nadmission was told\n%s\nand by upstream\n%s", step.method, step.url, step.body, strings.Join(us, "\n"), strings.Join(them, "\n"))
				}
			}
		})
	}
}

// TestForms: the answer's format is the client's choice.
func TestForms(t *testing.T) {
	s := newBoth(t, Deps{})
	for i, accept := range []string{
		"application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
		"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;pretty=1", "*/*",
	} {
		a := s.call(t, "POST", configMaps, jsonType, configMap(fmt.Sprintf("c%d", i), `{}`), "Accept", accept)
		if a.code != 201 {
			t.Errorf("%s: %d", accept, a.code)
		}
	}
}

// meddler is admission that changes and refuses.
type meddler struct{}

func (meddler) Handles(admission.Operation) bool { return true }

func (meddler) Admit(_ context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if a.GetObject() == nil || o.GetEquivalentResourceMapper() == nil {
		return nil
	}
	m, err := meta.Accessor(a.GetObject())
	if err != nil {
		return err
	}
	m.SetAnnotations(map[string]string{"seen": fmt.Sprint(a.GetOperation(), a.GetResource(), a.GetSubresource(), a.GetName(), a.GetNamespace(), a.IsDryRun(), a.GetUserInfo().GetName(), a.GetOldObject() != nil, a.GetKind())})
	switch m.GetLabels()["do"] {
	case "owners":
		owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u"}
		m.SetOwnerReferences([]metav1.OwnerReference{owner, owner})
	case "fields":
		m.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x"}})
	case "refuse":
		return admission.NewForbidden(a, fmt.Errorf("asked to"))
	}
	return nil
}

func (meddler) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	for _, obj := range []any{a.GetObject(), a.GetOldObject()} {
		if m, err := meta.Accessor(obj); err == nil && m.GetLabels()["do"] == "invalidate-"+strings.ToLower(string(a.GetOperation())) {
			return admission.NewForbidden(a, fmt.Errorf("found it invalid"))
		}
	}
	return nil
}

func TestAdmission(t *testing.T) {
	s := newBoth(t, Deps{Admission: meddler{}})
	labelled := func(name, do string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{"do":%q}},"data":{"k":"v"}}`, name, do)
	}
	lease := func(do string) string {
		return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"e","labels":{"do":%q}},"spec":{}}`, do)
	}
	for _, step := range []step{
		{"POST", configMaps, jsonType, labelled("a", "nothing"), 201},
		{"POST", configMaps, jsonType, labelled("b", "owners"), 201},
		{"POST", configMaps, jsonType, labelled("c", "fields"), 201},
		{"POST", configMaps, jsonType, labelled("d", "refuse"), 403},
		{"POST", configMaps, jsonType, labelled("e", "invalidate-create"), 403},
		{"PUT", leases + "/e", jsonType, lease("invalidate-create"), 403},
		{"PUT", leases + "/e", jsonType, lease("nothing"), 201},
		{"PUT", configMaps + "/a", jsonType, labelled("a", "owners"), 200},
		{"PUT", configMaps + "/a", jsonType, labelled("a", "fields"), 200},
		{"PUT", configMaps + "/a", jsonType, labelled("a", "refuse"), 403},
		{"PATCH", configMaps + "/a", mergePatch, `{"metadata":{"labels":{"do":"refuse"}}}`, 403},
		{"PATCH", configMaps + "/a?dryRun=All", strategic, `{"metadata":{"labels":{"do":"owners"}}}`, 200},
		{"PATCH", configMaps + "/a", strategic, `{"metadata":{"labels":{"do":"fields"}}}`, 200},
		{"PATCH", configMaps + "/a", strategic, `{"metadata":{"labels":{"do":"invalidate-update"}}}`, 403},
		{"PATCH", configMaps + "/f?fieldManager=m", applyPatch, labelled("f", "owners"), 201},
		{"PATCH", configMaps + "/f?fieldManager=m", applyPatch, labelled("f", "fields"), 200},
		{"PATCH", configMaps + "/g?fieldManager=m", applyPatch, labelled("g", "invalidate-create"), 403},
		{"POST", configMaps, jsonType, labelled("h", "invalidate-delete"), 201},
		{"DELETE", configMaps + "/h", "", "", 403},
		{"DELETE", configMaps, "", "", 403},
		{"POST", deployments, jsonType, deployment("web"), 201},
		{"PATCH", deployments + "/web/scale", mergePatch, `{"spec":{"replicas":8}}`, 200},
		{"POST", "/api/v1/namespaces", jsonType, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}`, 201},
	} {
		a := s.call(t, step.method, step.url, step.contentType, step.body)
		if a.code != step.code {
			t.Errorf("%s %s %s: %d %s, want %d", step.method, step.url, step.body, a.code, a.body, step.code)
		}
	}
}
