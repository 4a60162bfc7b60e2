package write

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// Bodies that nobody would send: no panic, and the code that kube-apiserver
// answers with.

func FuzzCreate(f *testing.F) {
	types := []string{jsonType, yamlType, runtime.ContentTypeProtobuf}
	f.Add(uint8(0), []byte(deployment("web")))
	f.Add(uint8(0), []byte(`{"kind":"Deployment","spec":{"template":{"metadata":{"managedFields":[{"manager":"x","fieldsV1":{"f:a":{"k:{}":{}}}}]}}}}`))
	f.Add(uint8(1), []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: &a\n  name: b\n  labels: *a\n"))
	f.Add(uint8(2), []byte("k8s\x00\n\x15\n\x07apps/v1\x12\nDeployment\x12\x05\n\x03\n\x01n"))
	s := newBoth(f, Deps{})
	f.Fuzz(func(t *testing.T, contentType uint8, body []byte) {
		s.sameCode(t, "POST", deployments+"?dryRun=All", types[int(contentType)%len(types)], string(body))
	})
}

func FuzzPatch(f *testing.F) {
	types := []string{jsonPatch, mergePatch, strategic, applyPatch}
	f.Add(uint8(0), []byte(`[{"op":"replace","path":"/spec/replicas","value":2},{"op":"test","path":"/spec/template/spec/containers/0/name","value":"c"}]`))
	f.Add(uint8(0), []byte(`[{"op":"copy","from":"/spec","path":"/spec/template/-"}]`))
	f.Add(uint8(1), []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"x","image":"y"}],"nodeSelector":{"a":null}}}}}`))
	f.Add(uint8(2), []byte(`{"spec":{"$retainKeys":["a"],"template":{"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"$patch":"delete","name":"c"}]}}}}`))
	f.Add(uint8(2), []byte(`{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"],"ownerReferences":[{"$patch":"replace"}]}}`))
	f.Add(uint8(3), []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 3\n"))
	s := newBoth(f, Deps{})
	s.sameCode(f, "POST", deployments, jsonType, deployment("web"))
	f.Fuzz(func(t *testing.T, form uint8, body []byte) {
		s.sameCode(t, "PATCH", deployments+"/web?dryRun=All&fieldManager=f", types[int(form)%len(types)], string(body))
		s.sameCode(t, "PATCH", deployments+"/web?dryRun=All&fieldManager=f&fieldValidation=Strict", types[int(form)%len(types)], string(body))
	})
}

func (b *both) sameCode(t testing.TB, method, url, contentType, body string) {
	t.Helper()
	ours := b.ours.call(t, method, url, contentType, body)
	theirs := b.upstreams.call(t, method, url, contentType, body)
	if ours.code != theirs.code {
		t.Errorf("%s %s %s\n%q\nours\n%+v\nupstream's\n%+v", method, url, contentType, body, ours, theirs)
	}
}
