package controllers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	"k8s.io/utils/ptr"
)

// An extenderServer is a scheduler extender that likes node b best, refuses what
// pods' labels say, binds, though not at the first try, and lets pods preempt
// others on node a alone.
type extenderServer struct {
	*testing.T
	c *cluster // set before it is asked

	mu    sync.Mutex
	asked map[string]int // by verb and pod
}

func (e *extenderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verb := strings.TrimPrefix(r.URL.Path, "/extend/")
	var answer any
	switch verb {
	case "filter", "prioritize":
		var args extenderv1.ExtenderArgs
		e.read(r, &args)
		if args.NodeNames == nil {
			e.Errorf("%s: no names of nodes, though the extender knows the nodes", verb)
			return
		}
		e.count(verb, args.Pod.Name)
		if verb == "filter" {
			answer = filtered(args)
		} else {
			answer = extenderv1.HostPriorityList{{Host: "a", Score: 0}, {Host: "b", Score: 10}}
		}
	case "bind":
		var args extenderv1.ExtenderBindingArgs
		e.read(r, &args)
		result := &extenderv1.ExtenderBindingResult{}
		if e.count(verb, args.PodName) == 1 && args.PodName == "second-try" {
			result.Error = "not at the first try"
		} else {
			binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: args.PodName, UID: args.PodUID}, Target: corev1.ObjectReference{Kind: "Node", Name: args.Node}}
			if err := e.c.client.CoreV1().Pods(args.PodNamespace).Bind(r.Context(), binding, metav1.CreateOptions{}); err != nil {
				result.Error = err.Error()
			}
		}
		answer = result
	case "preempt":
		var args extenderv1.ExtenderPreemptionArgs
		e.read(r, &args)
		e.count(verb, args.Pod.Name)
		left := map[string]*extenderv1.MetaVictims{}
		if victims := args.NodeNameToMetaVictims["a"]; victims != nil {
			left["a"] = victims
		}
		answer = &extenderv1.ExtenderPreemptionResult{NodeNameToMetaVictims: left}
	default:
		http.NotFound(w, r)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		e.Error(err)
	}
}

func filtered(args extenderv1.ExtenderArgs) *extenderv1.ExtenderFilterResult {
	result := &extenderv1.ExtenderFilterResult{FailedNodes: extenderv1.FailedNodesMap{}}
	left := []string{}
	for _, name := range *args.NodeNames {
		if only := args.Pod.Labels["only"]; only == "" || only == name {
			left = append(left, name)
		} else {
			result.FailedNodes[name] = "node(s) not to the extender's liking"
		}
	}
	result.NodeNames = &left
	return result
}

func (e *extenderServer) read(r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		e.Error(err)
	}
}

func (e *extenderServer) count(verb, pod string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked[verb+" "+pod]++
	return e.asked[verb+" "+pod]
}

func (e *extenderServer) times(verb, pod string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[verb+" "+pod]
}

func TestExtendersOverHTTP(t *testing.T) {
	e := &extenderServer{T: t, asked: map[string]int{}}
	served := httptest.NewServer(e)
	defer served.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	config := filepath.Join(t.TempDir(), "scheduler.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 1
extenders:
- {urlPrefix: %q, filterVerb: filter, prioritizeVerb: prioritize, bindVerb: bind, preemptVerb: preempt, weight: 10, nodeCacheCapable: true}
- {urlPrefix: %q, filterVerb: filter, prioritizeVerb: prioritize, weight: 1, ignorable: true}
`, served.URL+"/extend", gone.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	e.c = startScheduling(t, config, nil, "serviceaccount")
	c := e.c
	for _, name := range []string{"a", "b"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("100")}
		must(c.client.CoreV1().Nodes().Create(c.ctx, node, metav1.CreateOptions{}))(t)
	}
	pods := c.client.CoreV1().Pods("default")
	pod := func(name, only, cpu string, change func(*corev1.PodSpec)) {
		t.Helper()
		c.labelledUser(name, map[string]string{"only": only}, func(spec *corev1.PodSpec) {
			spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
			if change != nil {
				change(spec)
			}
		})
	}
	pod("liked", "", "1", nil)
	if got := await(c, pods, "liked", placed).Spec.NodeName; got != "b" {
		t.Errorf("the node with the extender's best score is b, the pod is on %s", got)
	}
	pod("left", "a", "1", nil)
	if got := await(c, pods, "left", placed).Spec.NodeName; got != "a" {
		t.Errorf("the extender leaves a, the pod is on %s", got)
	}
	pod("refused", "nowhere", "1", nil)
	waits := await(c, pods, "refused", unschedulable)
	if got := waits.Status.Conditions[0].Message; !strings.HasPrefix(got, "0/2 nodes are available: 2 node(s) not to the extender's liking.") {
		t.Errorf("it says %q", got)
	}
	pod("second-try", "", "1", nil)
	await(c, pods, "second-try", placed)
	if bound, refused := e.times("bind", "second-try"), e.times("bind", "refused"); bound != 2 || refused != 0 {
		t.Errorf("asked to bind %d and %d times", bound, refused)
	}

	// Both nodes are full of pods that matter less.
	must(c.client.SchedulingV1().PriorityClasses().Create(c.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000}, metav1.CreateOptions{}))(t)
	pod("fills-a", "a", "3", nil)
	pod("fills-b", "b", "2", nil)
	await(c, pods, "fills-a", placed)
	await(c, pods, "fills-b", placed)
	pod("important", "", "3", func(spec *corev1.PodSpec) { spec.PriorityClassName = "high" })
	if got := await(c, pods, "important", placed).Spec.NodeName; got != "a" || e.times("preempt", "important") == 0 {
		t.Errorf("it is on %s, and the extender was asked %d times", got, e.times("preempt", "important"))
	}
	if _, err := pods.Get(c.ctx, "fills-b", metav1.GetOptions{}); err != nil {
		t.Errorf("a pod on the other node had to go: %v", err)
	}
}

// Claims that wait for a pod get a volume that its node can reach, or a driver is
// told the node, before the pod is bound.
func TestVolumesArePlaced(t *testing.T) {
	c := start(t, nil, append([]string{"serviceaccount"}, binding...)...)
	for _, name := range []string{"a", "b", "c"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("100")}
		must(c.client.CoreV1().Nodes().Create(c.ctx, node, metav1.CreateOptions{}))(t)
	}
	c.class("local", "kubernetes.io/no-provisioner", storagev1.VolumeBindingWaitForFirstConsumer, "false")
	c.class("driver", "csi.example.org", storagev1.VolumeBindingWaitForFirstConsumer, "false")
	on := func(node string) *corev1.VolumeNodeAffinity {
		return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
		}}}}}
	}
	for _, node := range []string{"a", "b"} {
		c.volume("on-"+node, "local", func(v *corev1.PersistentVolume) { v.Spec.NodeAffinity = on(node) })
		c.awaitVolume("on-"+node, corev1.VolumeAvailable)
	}
	pods, claims := c.client.CoreV1().Pods("default"), c.client.CoreV1().PersistentVolumeClaims("default")
	user := func(name string) {
		t.Helper()
		c.user(name, func(spec *corev1.PodSpec) {
			spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}}
		})
	}
	var nodes []string
	for _, name := range []string{"one", "two"} {
		c.claim("default", name, ptr.To("local"))
		user(name)
		node := await(c, pods, name, placed).Spec.NodeName
		if claim := must(claims.Get(c.ctx, name, metav1.GetOptions{}))(t); claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName != "on-"+node {
			t.Errorf("the pod is on %s, its claim %s with %s", node, claim.Status.Phase, claim.Spec.VolumeName)
		}
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	if !slices.Equal(nodes, []string{"a", "b"}) {
		t.Errorf("the pods are on %v", nodes)
	}
	c.claim("default", "three", ptr.To("local"))
	user("three")
	await(c, pods, "three", unschedulable)

	// The driver's volume comes while the pod is being bound.
	c.claim("default", "made", ptr.To("driver"))
	user("made")
	asked := await(c, claims, "made", func(claim *corev1.PersistentVolumeClaim) bool {
		return claim.Annotations["volume.kubernetes.io/selected-node"] != ""
	})
	if pod := must(pods.Get(c.ctx, "made", metav1.GetOptions{}))(t); placed(pod) {
		t.Error("the pod is bound before its volume is there")
	}
	node := asked.Annotations["volume.kubernetes.io/selected-node"]
	c.volume("pvc-"+string(asked.UID), "driver", func(v *corev1.PersistentVolume) {
		v.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": "csi.example.org"}
		v.Spec.NodeAffinity = on(node)
		v.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "default", Name: "made", UID: asked.UID}
	})
	if got := await(c, pods, "made", placed).Spec.NodeName; got != node {
		t.Errorf("the volume was made for %s, the pod is on %s", node, got)
	}
}
