package attach

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestDecide(t *testing.T) {
	nodes := func(names ...string) map[string]bool {
		out := map[string]bool{}
		for _, name := range names {
			out[name] = true
		}
		return out
	}
	for _, test := range []struct {
		name         string
		wanted, held map[string]bool
		shared       bool
		want         plan
	}{
		{"nothing", nodes(), nodes(), false, plan{}},
		{"a pod comes", nodes("a"), nodes(), false, plan{attach: []string{"a"}}},
		{"it has it", nodes("a"), nodes("a"), false, plan{}},
		{"a pod goes", nodes(), nodes("a"), false, plan{detach: []string{"a"}}},
		{"a pod moves", nodes("b"), nodes("a"), false, plan{detach: []string{"a"}, blocked: []string{"b"}}},
		{"two at once", nodes("b", "a"), nodes(), false, plan{attach: []string{"a"}, blocked: []string{"b"}}},
		{"two that may", nodes("b", "a"), nodes(), true, plan{attach: []string{"a", "b"}}},
		{"a pod moves and may", nodes("b"), nodes("a"), true, plan{attach: []string{"b"}, detach: []string{"a"}}},
	} {
		if got := decide(test.wanted, test.held, test.shared); !slices.Equal(got.attach, test.want.attach) || !slices.Equal(got.detach, test.want.detach) || !slices.Equal(got.blocked, test.want.blocked) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestMayDetach(t *testing.T) {
	aNode := func(status corev1.ConditionStatus, taints ...string) *corev1.Node {
		node := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}}
		for _, key := range taints {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key})
		}
		return node
	}
	well, silent := aNode(corev1.ConditionTrue), aNode(corev1.ConditionUnknown)
	for _, test := range []struct {
		name    string
		node    *corev1.Node
		inUse   bool
		asked   time.Duration
		patient bool
		want    verdict
	}{
		{"not used", well, false, 0, false, verdict{allowed: true}},
		{"used", well, true, time.Hour, false, verdict{}},
		{"silent", silent, true, time.Minute, false, verdict{wait: 5 * time.Minute}},
		{"silent for long", silent, true, maxWait, false, verdict{allowed: true, forced: "timeout"}},
		{"silent for long, patiently", silent, true, time.Hour, true, verdict{}},
		{"out of service", aNode(corev1.ConditionUnknown, corev1.TaintNodeOutOfService), true, 0, true, verdict{allowed: true, forced: "out-of-service"}},
		{"gone", nil, false, 0, false, verdict{allowed: true}},
		{"gone, and used it last", nil, true, 0, false, verdict{wait: maxWait}},
	} {
		if got := mayDetach(test.node, test.inUse, test.asked, test.patient); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestOver(t *testing.T) {
	leaving := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}}}
	running := leaving.DeepCopy()
	running.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	for _, test := range []struct {
		name string
		pod  *corev1.Pod
		want bool
	}{
		{"pending", &corev1.Pod{}, false}, {"ended", &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, true},
		{"deleted, still running", running, false}, {"deleted, nothing runs", leaving, true},
	} {
		if got := over(test.pod); got != test.want {
			t.Errorf("%s: over %v", test.name, got)
		}
	}
}

// TestNames has what drivers and kubelets reckon, too.
func TestNames(t *testing.T) {
	if got := attachmentName("csi.example.org", "disk-1", "node-1"); got != "csi-770b6ec161a36cb906f4c41b4136a7291f5a45d9a3b636ea9557b232f8f40cdc" {
		t.Errorf("attachment %q", got)
	}
	for _, test := range []struct {
		source corev1.PersistentVolumeSource
		want   string
	}{
		{corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.org", VolumeHandle: "disk-1"}}, "kubernetes.io/csi/csi.example.org^disk-1"},
		{corev1.PersistentVolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}}, "kubernetes.io/csi/ebs.csi.aws.com^vol-1"},
		{corev1.PersistentVolumeSource{ISCSI: &corev1.ISCSIPersistentVolumeSource{TargetPortal: "10.0.0.1:3260", IQN: "iqn.2001-04.com.example", Lun: 1}}, "kubernetes.io/iscsi/10.0.0.1:3260:iqn.2001-04.com.example:1"},
		{corev1.PersistentVolumeSource{FC: &corev1.FCVolumeSource{TargetWWNs: []string{"a", "b"}, Lun: ptr.To[int32](2)}}, "kubernetes.io/fc/[a b]:2"},
		{corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{}}, ""},
	} {
		got := ""
		if v := persistent(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: test.source}}); v != nil {
			got = v.name
		}
		if got != test.want {
			t.Errorf("named %q, want %q", got, test.want)
		}
		if driver, handle, ok := parseCSI(test.want); ok && csiName(driver, handle) != test.want {
			t.Errorf("%q was taken apart to %q and %q", test.want, driver, handle)
		}
	}
}

func TestUsedBy(t *testing.T) {
	aPod := func(namespace, name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	for _, test := range []struct {
		pods []*corev1.Pod
		want string
	}{
		{nil, "Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node"},
		{[]*corev1.Pod{aPod("ns", "a"), aPod("ns", "b")}, "Volume is already used by pod(s) a, b"},
		{[]*corev1.Pod{aPod("ns", "a"), aPod("x", "b")}, "Volume is already used by pod(s) a and 1 pod(s) in different namespaces"},
		{[]*corev1.Pod{aPod("x", "b")}, "Volume is already used by 1 pod(s) in different namespaces"},
	} {
		if got := usedBy(test.pods, "ns"); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
