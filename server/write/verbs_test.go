package write

import (
	"fmt"
	"strings"
	"testing"
)

const (
	configMaps  = "/api/v1/namespaces/default/configmaps"
	pods        = "/api/v1/namespaces/default/pods"
	leases      = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
	deployments = "/apis/apps/v1/namespaces/default/deployments"
	jsonType    = "application/json"
	yamlType    = "application/yaml"
	jsonPatch   = "application/json-patch+json"
	mergePatch  = "application/merge-patch+json"
	strategic   = "application/strategic-merge-patch+json"
	applyPatch  = "application/apply-patch+yaml"
)

func configMap(name, data string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q},"data":%s}`, name, data)
}

// TestRefusals: requests that are wrong in some way, and a few that only look
// so, get kube-apiserver's own answers.
func TestRefusals(t *testing.T) {
	s := newBoth(t, Deps{MaxBodyBytes: 2000})
	s.call(t, "POST", configMaps, jsonType, configMap("there", `{"k":"v"}`))
	s.call(t, "POST", deployments, jsonType, deployment("web"))
	tests := []struct {
		name                           string
		method, url, contentType, body string
		code                           int
	}{
		{"no content type is JSON", "POST", configMaps + "?dryRun=All", "", configMap("n", `{}`), 201},
		{"unknown content type", "POST", configMaps, "text/plain", configMap("n", `{}`), 415},
		{"huge body", "POST", configMaps, jsonType, configMap("n", fmt.Sprintf(`{"k":%q}`, strings.Repeat("x", 2000))), 413},
		{"no body", "POST", configMaps, jsonType, "", 400},
		{"no kind", "POST", configMaps, jsonType, `{"metadata":{"name":"n"}}`, 201},
		{"not JSON", "POST", configMaps, jsonType, `{"kind":`, 400},
		{"truncated protobuf", "POST", configMaps, "application/vnd.kubernetes.protobuf", "k8s\x00\x0a\x05", 400},
		{"other kind", "POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"Secret"}`, 400},
		{"other version", "POST", deployments, jsonType, `{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"name":"n"}}`, 400},
		{"wrong type of a field", "POST", configMaps, jsonType, configMap("n", `{"k":1}`), 400},
		{"other namespace", "POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n","namespace":"other"}}`, 400},
		{"no name", "POST", configMaps, jsonType, `{"apiVersion":"v1","kind":"ConfigMap"}`, 422},
		{"exists", "POST", configMaps, jsonType, configMap("there", `{}`), 409},
		{"dry run", "POST", configMaps + "?dryRun=Maybe", jsonType, configMap("n", `{}`), 422},
		{"field manager", "POST", configMaps + "?fieldManager=" + strings.Repeat("m", 129), jsonType, configMap("n", `{}`), 422},
		{"field validation", "POST", configMaps + "?fieldValidation=Perhaps", jsonType, configMap("n", `{}`), 422},
		{"strict JSON", "POST", configMaps + "?fieldValidation=Strict", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n","name":"m"},"foo":1}`, 400},
		{"strict YAML", "POST", configMaps + "?fieldValidation=Strict", yamlType, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nfoo: 1\nfoo: 2\n", 400},
		{"not acceptable", "ACCEPT", configMaps, "text/html", configMap("n2", `{}`), 406},
		{"update of another name", "PUT", configMaps + "/there", jsonType, configMap("other", `{}`), 400},
		{"update without a name", "PUT", configMaps + "/there", jsonType, `{"apiVersion":"v1","kind":"ConfigMap"}`, 400},
		{"update of nothing", "PUT", deployments + "/gone", jsonType, deployment("gone"), 404},
		{"stale update", "PUT", configMaps + "/there", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","resourceVersion":"99"}}`, 409},
		{"update of another UID", "PUT", configMaps + "/there", jsonType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","uid":"u"}}`, 409},
		{"patch type", "PATCH", configMaps + "/there", jsonType, `{}`, 415},
		{"patch of nothing", "PATCH", configMaps + "/gone", mergePatch, `{}`, 404},
		{"patch that is no JSON", "PATCH", configMaps + "/there", mergePatch, `{`, 400},
		{"patch of the name", "PATCH", configMaps + "/there", mergePatch, `{"metadata":{"name":"x"}}`, 400},
		{"patch of the namespace", "PATCH", configMaps + "/there", strategic, `{"metadata":{"namespace":"x"}}`, 400},
		{"JSON patch of nothing", "PATCH", configMaps + "/there", jsonPatch, `[{"op":"remove","path":"/data/x"}]`, 422},
		{"JSON patch test", "PATCH", configMaps + "/there", jsonPatch, `[{"op":"test","path":"/data/k","value":"w"}]`, 422},
		{"JSON patch that is an object", "PATCH", configMaps + "/there", jsonPatch, `{"a":1}`, 400},
		{"JSON patch that explodes", "PATCH", configMaps + "/there", jsonPatch, `[{"op":"add","path":"/a","value":["` + strings.Repeat("x", 500) + `"]}` + strings.Repeat(`,{"op":"copy","from":"/a","path":"/a/-"}`, 30) + `]`, 422},
		{"strict merge patch", "PATCH", configMaps + "/there?fieldValidation=Strict", mergePatch, `{"foo":1}`, 422},
		{"strict strategic merge patch", "PATCH", deployments + "/web?fieldValidation=Strict", strategic, `{"spec":{"foo":1}}`, 422},
		{"strategic directive", "PATCH", deployments + "/web", strategic, `{"spec":{"template":{"spec":{"$patch":"what"}}}}`, 500},
		{"strategic type", "PATCH", deployments + "/web", strategic, `{"spec":{"replicas":"many"}}`, 422},
		{"stale patch", "PATCH", configMaps + "/there", mergePatch, `{"metadata":{"resourceVersion":"99"}}`, 409},
		{"apply without a manager", "PATCH", configMaps + "/there", applyPatch, configMap("there", `{}`), 422},
		{"apply with force elsewhere", "PATCH", configMaps + "/there?force=true", mergePatch, `{}`, 422},
		{"apply conflict", "PATCH", configMaps + "/there?fieldManager=me", applyPatch, configMap("there", `{"k":"w"}`), 409},
		{"apply of another kind", "PATCH", configMaps + "/there?fieldManager=me", applyPatch, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"there"}}`, 400},
		{"apply with managed fields", "PATCH", configMaps + "/there?fieldManager=me", applyPatch, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","managedFields":[]}}`, 400},
		{"apply of no YAML", "PATCH", configMaps + "/there?fieldManager=me", applyPatch, "a: [", 400},
		{"apply of a list", "PATCH", configMaps + "/there?fieldManager=me", applyPatch, "[]", 400},
		{"apply of a new object with a UID", "PATCH", configMaps + "/new?fieldManager=me", applyPatch, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new","uid":"u"}}`, 409},
		{"delete of nothing", "DELETE", configMaps + "/gone", "", "", 404},
		{"delete of another UID", "DELETE", configMaps + "/there", jsonType, `{"preconditions":{"uid":"u"}}`, 409},
		{"delete with two policies", "DELETE", configMaps + "/there", jsonType, `{"propagationPolicy":"Foreground","orphanDependents":true}`, 422},
		{"delete with another kind", "DELETE", configMaps + "/there", jsonType, configMap("x", `{}`), 400},
		{"delete of unreadable objects at once", "DELETE", configMaps + "?ignoreStoreReadErrorWithClusterBreakingPotential=true", "", "", 422},
		{"delete by a field that is none", "DELETE", configMaps + "?fieldSelector=spec.x=y", "", "", 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a answer
			if test.method == "ACCEPT" {
				a = s.call(t, "POST", test.url, jsonType, test.body, "Accept", test.contentType)
			} else {
				a = s.call(t, test.method, test.url, test.contentType, test.body)
			}
			if a.code != test.code {
				t.Errorf("%d %s, want %d", a.code, a.body, test.code)
			}
		})
	}
}

func deployment(name string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q},"spec":{"selector":{"matchLabels":{"a":"b"}},
		"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"},{"name":"d","image":"j"}]}}}}`, name)
}
