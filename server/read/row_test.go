package read

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/util/node"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/storage"
)

// TestPrintedParts prints generated objects of which only the part was decoded
// that printers are said to read, and whole ones.
func TestPrintedParts(t *testing.T) {
	s := newServer(t, storage.Options{})
	filler := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), legacyscheme.Codecs).NilChance(.3).NumElements(0, 3)
	random := rand.New(rand.NewSource(2))
	row := s.row(pods())
	e := newEndpoint(row, s.deps)
	if e.types.printed == nil {
		t.Fatal("there is no part for pods")
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", tableType)
	format, err := encode.Negotiate(r, row)
	if err != nil {
		t.Fatal(err)
	}
	part := e.rows(t.Context(), format, &metav1.TableOptions{})
	whole := e.rows(t.Context(), format, &metav1.TableOptions{})
	wholly := *e
	wholly.types.printed = nil
	whole.endpoint = &wholly

	info, _ := runtime.SerializerInfoForMediaType(legacyscheme.Codecs.SupportedMediaTypes(), protobufType)
	encoder := legacyscheme.Codecs.EncoderForVersion(info.Serializer, pods().GroupVersion())
	seen := map[string]bool{}
	for i := range 2000 {
		pod := &corev1.Pod{}
		filler.Fill(pod)
		pod.Namespace, pod.Name = "default", fmt.Sprintf("pod-%d", i)
		likely(random, pod)
		var b bytes.Buffer
		if err := encoder.Encode(pod, &b); err != nil {
			t.Fatal(err)
		}
		key := row.Objects.Key(pod.Namespace, pod.Name)
		if _, err := s.store.Write(context.Background(), storage.Write{Key: key, Value: b.Bytes()}); err != nil {
			t.Fatal(err)
		}
		o, _ := row.Objects.Collection().Get(key)
		var got, want, again []byte
		for want == nil || !bytes.Equal(want, again) { // rows tell ages
			if want, err = whole.append(nil, o); err != nil {
				t.Fatal(err)
			}
			if got, err = part.append(nil, o); err != nil {
				t.Fatal(err)
			}
			if again, err = whole.append(nil, o); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %s\nwant %s", got, want)
		}
		cells, _, _ := bytes.Cut(want, []byte(`,"object":`))
		for _, text := range []string{"Terminating", "SchedulingGated", "Unknown", "Init:", "ago)", "1/", "Completed", `"conditions"`} {
			if bytes.Contains(cells, []byte(text)) {
				seen[text] = true
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("of what printers tell there was only %v", seen)
	}
}

// likely makes a pod in whose fields printers look for certain values have them
// now and then.
func likely(r *rand.Rand, pod *corev1.Pod) {
	pick := func(values ...string) string { return values[r.Intn(len(values))] }
	if r.Intn(3) == 0 {
		pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1e9, 0)}
	}
	pod.Status.Phase = corev1.PodPhase(pick("Pending", "Running", "Running", "Succeeded", "Failed"))
	pod.Status.Reason = pick("", "", "", "Evicted", node.NodeUnreachablePodReason)
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		c.Type = corev1.PodConditionType(pick("PodScheduled", "Initialized", "Ready", string(c.Type)))
		c.Status = corev1.ConditionStatus(pick("True", "False", "Unknown"))
		c.Reason = pick("SchedulingGated", "", c.Reason)
	}
	always := corev1.ContainerRestartPolicyAlways
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		c.RestartPolicy = []*corev1.ContainerRestartPolicy{nil, &always}[r.Intn(2)]
		if i < len(pod.Status.InitContainerStatuses) {
			pod.Status.InitContainerStatuses[i].Name = c.Name
		}
	}
	for i := range pod.Spec.ReadinessGates {
		pod.Spec.ReadinessGates[i].ConditionType = corev1.PodConditionType(pick("Ready", "Initialized", "other"))
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if t := status.State.Terminated; t != nil {
			t.ExitCode, t.Reason = int32(r.Intn(2)), pick("", "Completed", "Error")
		}
	}
}
