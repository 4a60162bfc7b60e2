package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	definitionsPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	customPath      = "/apis/bench.example.com/v1"
)

// customDefinition defines a resource with a schema like those of real ones.
func customDefinition(plural, kind string) string {
	return fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"%s.bench.example.com"},"spec":{"group":"bench.example.com","scope":"Namespaced","names":{"plural":"%[1]s","kind":"%s"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":{
		"spec":{"type":"object","required":["size"],"properties":{"size":{"type":"integer","minimum":1},"mode":{"type":"string","enum":["a","b"],"default":"a"},"settings":{"type":"object","additionalProperties":{"type":"string"}}},"x-kubernetes-validations":[{"rule":"self.size < 1000"}]},
		"status":{"type":"object","properties":{"phase":{"type":"string"}}}}}}}]}}`, plural, kind)
}

// A sample is a kind of object that the scenario compares with others.
type sample struct{ name, path, head, field, tail string }

// object is one of about 2 KB.
func (s sample) object(name string, i int) []byte {
	var settings []string
	for j := range 20 {
		settings = append(settings, fmt.Sprintf(`"setting-%02d":"%s"`, j, strings.Repeat("v", 70)))
	}
	return fmt.Appendf(nil, `{%s,"metadata":{"name":"%s-%05d","labels":{"app":"web-%d"}},%s{%s}%s}`,
		s.head, name, i, i%100, s.field, strings.Join(settings, ","), s.tail)
}

var configMaps = sample{"configmaps", "/api/v1/namespaces/default/configmaps", `"apiVersion":"v1","kind":"ConfigMap"`, `"data":`, ""}

// podTemplates have a specification, and no controller that would have work with them.
var podTemplates = sample{
	"pod templates", "/api/v1/namespaces/default/podtemplates", `"apiVersion":"v1","kind":"PodTemplate"`,
	`"template":{"spec":{"containers":[{"name":"web","image":"nginx:1","ports":[{"containerPort":80}]}]},"metadata":{"labels":{"app":"web"},"annotations":`, "}}",
}

// custom compares a custom resource with built-in ones of the same size, all in
// JSON, says how soon a definition is served, and what an admission policy costs.
func custom(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, l.clients)
	if err != nil {
		return nil, err
	}
	served, err := servable(ctx, clients[0], l.rounds*4)
	if err != nil {
		return nil, err
	}
	results := []result{served}
	client, host, err := httpClient(s, 0)
	if err != nil {
		return nil, err
	}
	for _, kind := range []sample{
		configMaps,
		podTemplates,
		{"custom resources", customPath + "/namespaces/default/things0", `"apiVersion":"bench.example.com/v1","kind":"Thing0"`, `"spec":{"size":3,"mode":"b","settings":`, "}"},
	} {
		created := s.fan(l.clients, l.pods, func(w, i int) error { return post(ctx, clients[w], kind.path, kind.object("object", i)) })
		results = append(results, created.result("create "+kind.name+" of 2 KB"))
		for _, read := range []struct {
			name string
			once func() (int64, error)
		}{
			{"list", func() (int64, error) { return listOnce(ctx, client, host+kind.path, jsonType) }},
			{"watch", func() (int64, error) {
				return watchAll(ctx, client, host+kind.path, len(created.latencies))
			}},
		} {
			var times latencies
			var size int64
			for range l.rounds {
				began := time.Now()
				if size, err = read.once(); err != nil {
					return nil, err
				}
				times = append(times, float64(time.Since(began).Microseconds())/1000)
			}
			results = append(results, result{
				Scenario: fmt.Sprintf("%s %d %s", read.name, l.pods, kind.name),
				Headline: fmt.Sprintf("%.0f ms, %.1f MB", times.quantile(.5), float64(size)/1e6),
				Figures:  map[string]any{"p50_ms": times.quantile(.5), "max_ms": times.quantile(1), "bytes": size},
			})
		}
	}
	policed, err := policy(ctx, s, clients, l)
	return append(results, policed...), err
}

func post(ctx context.Context, client *kubernetes.Clientset, path string, body []byte) error {
	return client.CoreV1().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", jsonType).SetHeader("Accept", jsonType).Body(body).Do(ctx).Error()
}

// servable creates definitions one after the other, and lists each one's resource
// until that works.
func servable(ctx context.Context, client *kubernetes.Clientset, rounds int) (result, error) {
	var times latencies
	for i := range rounds {
		plural := fmt.Sprintf("things%d", i)
		began := time.Now()
		if err := post(ctx, client, definitionsPath, []byte(customDefinition(plural, fmt.Sprintf("Thing%d", i)))); err != nil {
			return result{}, err
		}
		for {
			_, err := client.CoreV1().RESTClient().Get().AbsPath(customPath, "namespaces", "default", plural).SetHeader("Accept", jsonType).DoRaw(ctx)
			if err == nil {
				break
			}
			if time.Since(began) > time.Minute {
				return result{}, err
			}
		}
		times = append(times, float64(time.Since(began).Microseconds())/1000)
	}
	return result{
		Scenario: "create a definition until it is served",
		Headline: fmt.Sprintf("%.1f ms, max %.1f ms", times.quantile(.5), times.quantile(1)),
		Figures:  map[string]any{"p50_ms": times.quantile(.5), "max_ms": times.quantile(1)},
	}, nil
}

// watchAll reads the objects that there are as events of a watch.
func watchAll(ctx context.Context, client *http.Client, url string, objects int) (size int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 1<<20)
	for range objects {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return size, err
		}
		if !bytes.HasPrefix(line, []byte(`{"type":"ADDED"`)) {
			return size, fmt.Errorf("unexpected event %.200s", line)
		}
		size += int64(len(line))
	}
	return size, nil
}

// policy creates configmaps without and with a ValidatingAdmissionPolicy of three
// rules, in turns.
func policy(ctx context.Context, s *system, clients []*kubernetes.Clientset, l load) ([]result, error) {
	policies := clients[0].AdmissionregistrationV1()
	if _, err := policies.ValidatingAdmissionPolicies().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}}}},
			Validations: []admissionregistrationv1.Validation{
				{Expression: "object.metadata.name.startsWith('policed-') || object.metadata.name == 'forbidden'"},
				{Expression: "has(object.metadata.labels) && object.metadata.labels.all(k, size(k) < 63)"},
				{Expression: "!has(object.data) || size(object.data) < 100"},
			},
		},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Spec:       admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "bench", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}},
	}
	var rates [2]latencies // creates a second, without and with
	var used [2]time.Duration
	for round := range 2 * l.rounds {
		with := (round + 1) / 2 % 2 // without, with, with, without: more objects are there each time
		if with == 1 {
			if _, err := policies.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
				return nil, err
			}
			began := time.Now()
			for i := 0; post(ctx, clients[0], configMaps.path, configMaps.object(fmt.Sprintf("unpoliced-%d", round), i)) == nil; i++ {
				if time.Since(began) > time.Minute {
					return nil, errors.New("the policy has no effect")
				}
			}
		}
		created := s.fan(l.clients, l.operations, func(w, i int) error {
			return post(ctx, clients[w], configMaps.path, configMaps.object(fmt.Sprintf("policed-%d", round), i))
		})
		if created.errors > 0 {
			return nil, fmt.Errorf("%d creates failed", created.errors)
		}
		used[with] += created.cpu
		rates[with] = append(rates[with], float64(l.operations)/created.seconds)
		if with == 1 {
			if err := policies.ValidatingAdmissionPolicyBindings().Delete(ctx, binding.Name, metav1.DeleteOptions{}); err != nil {
				return nil, err
			}
		}
	}
	without, with := rates[0].quantile(.5), rates[1].quantile(.5)
	one := result{
		Scenario: "create a configmap with a policy of three rules",
		Headline: fmt.Sprintf("%.0f/s (without %.0f/s: +%.0f %%)", with, without, 100*(without/with-1)),
		Figures:  map[string]any{"per_s": with, "without_per_s": without},
	}
	if used[0] > 0 {
		one.addCPU(used[1], l.operations*l.rounds)
		more := float64(used[1])/float64(used[0]) - 1
		one.Headline += fmt.Sprintf(", %.0f %% more", 100*more)
		one.Figures["cpu_more"] = more
	}
	return []result{one}, nil
}
