package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/node"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/sqlite"
)

// A world is objects that both authorizers know: upstream's in its graph, ours in
// a store.
type world struct {
	t      *testing.T
	random *rand.Rand

	theirs *node.NodeAuthorizer
	graph  *node.Graph
	ours   *Authorizer
	cached *Cached

	store     *storage.Store
	revisions map[string]int64
	pods      map[string]*corev1.Pod
	written   int
}

type message interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

func newWorld(t *testing.T) *world {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	driver, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	store, err := storage.New(storage.Options{Driver: driver, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	register := func(prefix string, node func(body []byte) (string, error)) *storage.Collection {
		return store.Register("/registry/"+prefix+"/", func(_ string, stored []byte, _ int64) (*storage.Object, error) {
			name, err := node(stored)
			o := storage.Plain(stored)
			o.Fields = fields.Set{"spec.nodeName": name}
			return o, err
		}, "spec.nodeName")
	}
	none := func([]byte) (string, error) { return "", nil }
	collections := Collections{
		Store: store,
		Pods: register("pods", func(body []byte) (string, error) {
			var o corev1.Pod
			err := o.Unmarshal(body)
			return o.Spec.NodeName, err
		}),
		ResourceSlices: register("resourceslices", func(body []byte) (string, error) {
			var o resourcev1.ResourceSlice
			if err := o.Unmarshal(body); err != nil || o.Spec.NodeName == nil {
				return "", err
			}
			return *o.Spec.NodeName, nil
		}),
		PodCertificateRequests: register("podcertificaterequests", func(body []byte) (string, error) {
			var o certificatesv1.PodCertificateRequest
			err := o.Unmarshal(body)
			return string(o.Spec.NodeName), err
		}),
		PersistentVolumes: register("persistentvolumes", none), VolumeAttachments: register("volumeattachments", none),
	}
	if err := store.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Stop(context.Background()) })
	w := &world{
		t: t, random: rand.New(rand.NewPCG(7, 8)), graph: node.NewGraph(), cached: NewCached(log),
		store: store, revisions: map[string]int64{}, pods: map[string]*corev1.Pod{},
	}
	w.theirs = node.NewAuthorizer(w.graph, nodeidentifier.NewDefaultNodeIdentifier(), bootstrappolicy.NodeRules())
	w.ours = New(w.cached, bootstrappolicy.NodeRules(), utilfeature.DefaultFeatureGate)
	follow := w.cached.Follow(collections)
	go follow(t.Context())
	return w
}

// write puts an object into the store, or deletes it: nil.
func (w *world) write(key string, o message) {
	w.t.Helper()
	write := storage.Write{Key: "/registry/" + key, Expect: w.revisions[key]}
	if o == nil && write.Expect == 0 {
		return
	}
	if o != nil {
		var err error
		if write.Value, err = o.Marshal(); err != nil {
			w.t.Fatal(err)
		}
	}
	revision, err := w.store.Write(w.t.Context(), write)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.revisions[key] = revision; o == nil {
		delete(w.revisions, key)
	}
}

// caughtUp waits until the index of volumes has all that was written.
func (w *world) caughtUp() {
	w.t.Helper()
	w.written++
	name := fmt.Sprint("sentinel-", w.written)
	w.write("persistentvolumes/"+name, &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Name: "none"}}})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		if _, ok := w.cached.volumes.claim(name); ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("the index of volumes does not follow")
		}
	}
}

func (w *world) name(kind string) string { return fmt.Sprint(kind, w.random.IntN(4)) }

func (w *world) change() {
	namespace, name := w.name("ns"), w.name("o")
	key, remove := namespace+"/"+name, w.random.IntN(4) == 0
	switch w.random.IntN(5) {
	case 0, 1:
		w.changePod(namespace, name, key, remove)
	case 2:
		if remove {
			w.graph.DeletePV(name)
			w.write("persistentvolumes/"+name, nil)
			return
		}
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if w.random.IntN(4) > 0 {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: w.name("ns"), Name: w.name("pvc")}
		}
		pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{
			NodePublishSecretRef: &corev1.SecretReference{Namespace: w.name("ns"), Name: w.name("secret")},
			NodeStageSecretRef:   &corev1.SecretReference{Namespace: w.name("ns"), Name: w.name("secret")},
			// Not for kubelets:
			ControllerPublishSecretRef: &corev1.SecretReference{Namespace: w.name("ns"), Name: w.name("secret")},
		}
		w.graph.AddPV(pv)
		w.write("persistentvolumes/"+name, pv)
	case 3:
		if remove {
			w.graph.DeleteVolumeAttachment(name)
			w.write("volumeattachments/"+name, nil)
			return
		}
		node := w.name("node")
		w.graph.AddVolumeAttachment(name, node)
		w.write("volumeattachments/"+name, &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.VolumeAttachmentSpec{NodeName: node}})
	default:
		if remove {
			w.graph.DeleteResourceSlice(name)
			w.write("resourceslices/"+name, nil)
			request := &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			w.graph.DeletePodCertificateRequest(request)
			w.write("podcertificaterequests/"+key, nil)
			return
		}
		node := w.name("node")
		w.graph.AddResourceSlice(name, node)
		w.write("resourceslices/"+name, &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.ResourceSliceSpec{NodeName: &node}})
		request := &certificatesv1.PodCertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		request.Spec.NodeName = "node1"
		w.graph.AddPodCertificateRequest(request)
		w.write("podcertificaterequests/"+key, request)
	}
}

func (w *world) changePod(namespace, name, key string, remove bool) {
	pod := w.pods[key]
	if pod != nil && remove {
		w.graph.DeletePod(name, namespace)
		w.write("pods/"+key, nil)
		delete(w.pods, key)
		return
	}
	if pod == nil {
		pod = w.pod(namespace, name)
		w.pods[key] = pod
	} else {
		pod = pod.DeepCopy()
		pod.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "made", ResourceClaimName: new(w.name("claim"))}}
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: w.name("secret")}}}}},
		})
		w.pods[key] = pod
	}
	w.write("pods/"+key, pod)
	if pod.Spec.NodeName != "" {
		w.graph.AddPod(pod)
	}
}

func (w *world) pod(namespace, name string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if w.random.IntN(5) > 0 {
		pod.Spec.NodeName = w.name("node")
	}
	if w.random.IntN(6) == 0 {
		pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	}
	pod.Spec.ServiceAccountName = w.name("account")
	pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: w.name("secret")}}
	pod.Spec.Containers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: w.name("map")}}}}}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "claim", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: w.name("pvc")}}},
		{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: w.name("secret")}}},
	}
	pod.Spec.ResourceClaims = []corev1.PodResourceClaim{
		{Name: "named", ResourceClaimName: new(w.name("claim"))},
		{Name: "made", ResourceClaimTemplateName: new("template")},
	}
	return pod
}

// request is one of a node, or of somebody who would like to be one.
func (w *world) request() *authorizer.AttributesRecord {
	pick := func(from string) string {
		words := strings.Split(from, " ")
		if word := words[w.random.IntN(len(words))]; word != "-" {
			return word
		}
		return ""
	}
	u := &user.DefaultInfo{Name: "system:node:" + w.name("node"), Groups: []string{user.NodesGroup}}
	switch w.random.IntN(20) {
	case 0:
		u.Groups = nil
	case 1:
		u.Name = "system:node:"
	}
	a := &authorizer.AttributesRecord{User: u, Verb: pick("get get get list watch create update patch delete deletecollection"), ResourceRequest: true}
	kinds := strings.Split("/secrets/secret /secrets/secret /configmaps/map /serviceaccounts/account /persistentvolumeclaims/pvc /persistentvolumes/o /pods/o /nodes/node "+
		"storage.k8s.io/volumeattachments/o resource.k8s.io/resourceclaims/claim resource.k8s.io/resourceslices/o coordination.k8s.io/leases/node "+
		"storage.k8s.io/csinodes/node certificates.k8s.io/podcertificaterequests/o certificates.k8s.io/certificatesigningrequests/o /services/o /endpoints/o", " ")
	kind := strings.Split(kinds[w.random.IntN(len(kinds))], "/")
	a.APIGroup, a.Resource, a.Name = kind[0], kind[1], w.name(kind[2])
	if w.random.IntN(10) == 0 {
		a.Name = pick("- o0-own o1-own ../x")
	}
	a.Subresource = pick("- - - - status token eviction log")
	if !strings.Contains("persistentvolumes nodes volumeattachments resourceslices csinodes", a.Resource) || w.random.IntN(10) == 0 {
		a.Namespace = w.name("ns")
	}
	switch w.random.IntN(12) {
	case 0:
		a.Namespace = pick("- kube-node-lease a/b")
	case 1, 2:
		a.FieldSelectorRequirements = fields.OneTermEqualSelector("spec.nodeName", w.name("node")).Requirements()
	case 3:
		a.FieldSelectorRequirements = fields.OneTermNotEqualSelector("spec.nodeName", w.name("node")).Requirements()
	}
	if a.Resource == "leases" && w.random.IntN(2) == 0 {
		a.Namespace = corev1.NamespaceNodeLease
	}
	if w.random.IntN(50) == 0 {
		a = &authorizer.AttributesRecord{User: u, Verb: "get", Path: "/api"}
	}
	return a
}

// TestLikeUpstream asks both about random requests in a changing world.
func TestLikeUpstream(t *testing.T) {
	w := newWorld(t)
	allowed := map[string]int{}
	for range 60 {
		for range 5 {
			w.change()
		}
		w.caughtUp()
		for range 500 {
			a := w.request()
			decision, reason, err := w.ours.Authorize(t.Context(), a)
			wantDecision, wantReason, wantErr := w.theirs.Authorize(t.Context(), a)
			if decision != wantDecision || reason != wantReason || err != nil || wantErr != nil {
				t.Fatalf("%+v of %+v: %v %q %v, upstream says %v %q %v", *a, a.User, decision, reason, err, wantDecision, wantReason, wantErr)
			}
			if decision == authorizer.DecisionAllow {
				allowed[a.Resource]++
			}
			_, _, incomplete, err := w.ours.RulesFor(t.Context(), a.User, "")
			_, _, wantIncomplete, wantErr := w.theirs.RulesFor(t.Context(), a.User, "")
			if incomplete != wantIncomplete || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("the rules of %+v: %v %v, upstream says %v %v", a.User, incomplete, err, wantIncomplete, wantErr)
			}
		}
	}
	for _, resource := range strings.Fields("secrets configmaps serviceaccounts persistentvolumeclaims persistentvolumes pods nodes volumeattachments resourceclaims resourceslices leases csinodes podcertificaterequests services") {
		if allowed[resource] < 5 {
			t.Errorf("%s: %d requests were allowed, the test shows little", resource, allowed[resource])
		}
	}
	t.Log(allowed)
}
