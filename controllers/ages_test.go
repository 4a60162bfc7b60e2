package controllers_test

import (
	"context"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/controllers/certificates"
	"github.com/howdah/howdah/controllers/podgc"
	"github.com/howdah/howdah/controllers/reconcile"
	"github.com/howdah/howdah/controllers/serviceaccount"
	"github.com/howdah/howdah/controllers/ttlafterfinished"
	"github.com/howdah/howdah/server/component"
)

// An age is a clock by which one controller works that waits for long.
type age struct {
	c     *cluster
	clock *clocktesting.FakeClock
}

// age runs a controller as its service account by a clock of its own.
func (c *cluster) age(account string, setup reconcile.Setup) *age {
	c.Helper()
	as := func(user string, groups ...string) *rest.Config {
		config := rest.CopyConfig(c.config)
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
		return config
	}
	informers, release := component.NewInformers(must(kubernetes.NewForConfig(as("system:kube-controller-manager")))(c)).Use()
	client := must(kubernetes.NewForConfig(as("system:serviceaccount:kube-system:"+account, "system:serviceaccounts", "system:serviceaccounts:kube-system")))(c)
	a := &age{c, clocktesting.NewFakeClock(time.Now())}
	given := reconcile.Given{Informers: informers, Client: client, Clock: a.clock, Log: slog.New(slog.NewTextHandler(c.Output(), nil))}
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		reconcile.Run(ctx, account, given, func(*reconcile.Given) error { return nil }, setup)
	}()
	c.Cleanup(func() {
		cancel()
		<-ended
		release()
	})
	return a
}

// until lets time pass until something is as wanted.
func (a *age) until(what string, wanted func() bool) {
	a.c.Helper()
	for !wanted() {
		if a.c.ctx.Err() != nil {
			a.c.Fatalf("%s didn't come", what)
		}
		a.clock.Step(10 * time.Minute)
		time.Sleep(10 * time.Millisecond) // the controller is to see that it is later
	}
}

// names are those of all objects of a list.
func names[T any, P interface {
	*T
	metav1.Object
}](items []T) (all []string) {
	for i := range items {
		all = append(all, P(&items[i]).GetName())
	}
	slices.Sort(all)
	return all
}

func TestPodsAreCollected(t *testing.T) {
	c := start(t, nil, "serviceaccount")
	await(c, c.client.CoreV1().ServiceAccounts("default"), "default", func(*corev1.ServiceAccount) bool { return true })
	nodes, pods := c.client.CoreV1().Nodes(), c.client.CoreV1().Pods("default")
	for name, taints := range map[string][]corev1.Taint{"good": nil, "broken": {{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}} {
		node := must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
		node.Spec.Taints = taints
		must(nodes.Update(c.ctx, node, metav1.UpdateOptions{}))(t)
	}
	create := func(name, node string, phase corev1.PodPhase) {
		t.Helper()
		spec := podTemplate(name, "any").Spec
		spec.NodeName = node
		must(pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"example.org/witness"}}, Spec: spec}, metav1.CreateOptions{}))(t)
		must(pods.Patch(c.ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"status":{"phase":%q}}`, phase), metav1.PatchOptions{}, "status"))(t)
	}
	create("runs", "good", corev1.PodRunning)
	create("orphan", "gone", corev1.PodRunning)
	create("out-of-service", "broken", corev1.PodRunning)
	create("never-ran", "", corev1.PodPending)
	create("evicted", "good", corev1.PodFailed)
	for i := range 3 {
		create(fmt.Sprint("finished-", i), "good", corev1.PodSucceeded)
	}
	must(pods.Patch(c.ctx, "evicted", types.MergePatchType, []byte(`{"status":{"reason":"Evicted"}}`), metav1.PatchOptions{}, "status"))(t)
	for _, name := range []string{"out-of-service", "never-ran"} {
		if err := pods.Delete(c.ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	a := c.age("pod-garbage-collector", podgc.Setup(3))
	// What it deletes has no time left; the finalizer keeps it to be looked at.
	deleted := func(name string) bool {
		pod := must(pods.Get(c.ctx, name, metav1.GetOptions{}))(t)
		return pod.DeletionTimestamp != nil && ptr.Deref(pod.DeletionGracePeriodSeconds, -1) == 0 && pod.Status.Phase != corev1.PodRunning
	}
	for _, name := range []string{"orphan", "out-of-service", "never-ran", "evicted"} {
		a.until(name+"'s end", func() bool { return deleted(name) })
	}
	orphan := must(pods.Get(c.ctx, "orphan", metav1.GetOptions{}))(t)
	if _, why := podutil.GetPodCondition(&orphan.Status, corev1.DisruptionTarget); why == nil || why.Reason != "DeletionByPodGC" || orphan.Status.Phase != corev1.PodFailed {
		t.Errorf("the orphan ended as %+v", orphan.Status)
	}
	for _, name := range []string{"runs", "finished-0", "finished-1", "finished-2"} {
		if pod := must(pods.Get(c.ctx, name, metav1.GetOptions{}))(t); pod.DeletionTimestamp != nil {
			t.Errorf("%s was deleted", name)
		}
	}
}

func TestOldRequestsAreCleaned(t *testing.T) {
	c := start(t, nil, "serviceaccount")
	requests := c.client.CertificatesV1().CertificateSigningRequests()
	request, _ := certificateRequest(t, pkix.Name{CommonName: "a"})
	ask := func(name string, condition certificatesv1.RequestConditionType) {
		t.Helper()
		r := must(requests.Create(c.ctx, &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: "example.org/signer", Request: request, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			},
		}, metav1.CreateOptions{}))(t)
		if condition != "" {
			r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: condition, Status: corev1.ConditionTrue, Reason: "a"}}
			must(requests.UpdateApproval(c.ctx, name, r, metav1.UpdateOptions{}))(t)
		}
	}
	ask("pending", "")
	ask("denied", certificatesv1.CertificateDenied)
	ask("approved", certificatesv1.CertificateApproved) // waits for its signer, however long
	a := c.age("certificate-controller", certificates.Clean)
	a.until("the end of all but the approved one", func() bool {
		return slices.Equal(names(must(requests.List(c.ctx, metav1.ListOptions{}))(t).Items), []string{"approved"})
	})
	if waited := a.clock.Since(time.Now()); waited < 23*time.Hour {
		t.Errorf("a pending one was deleted after %v", waited)
	}
}

func TestOldRequestsOfPodsAreCleaned(t *testing.T) {
	c := start(t, nil, "serviceaccount")
	requests := c.client.CertificatesV1().PodCertificateRequests("default")
	stub, _ := certificateRequest(t, pkix.Name{})
	block, _ := pem.Decode(stub)
	must(requests.Create(c.ctx, &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "old"},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: "example.org/signer", PodName: "a", PodUID: "a", ServiceAccountName: "a", ServiceAccountUID: "a", NodeName: "a", NodeUID: "a",
			MaxExpirationSeconds: ptr.To[int32](3600), StubPKCS10Request: block.Bytes,
		},
	}, metav1.CreateOptions{}))(t)
	a := c.age("podcertificaterequestcleaner", certificates.CleanPodRequests)
	a.until("the old request's end", func() bool { return len(must(requests.List(c.ctx, metav1.ListOptions{}))(t).Items) == 0 })
	if waited := a.clock.Since(time.Now()); waited < 14*time.Minute {
		t.Errorf("it was deleted after %v", waited)
	}
}

func TestUnusedTokensAreCleaned(t *testing.T) {
	c := start(t, nil, "serviceaccount")
	const unused = 100 * 24 * time.Hour
	account := await(c, c.client.CoreV1().ServiceAccounts("default"), "default", func(*corev1.ServiceAccount) bool { return true })
	secrets := c.client.CoreV1().Secrets("default")
	for _, name := range []string{"generated", "mounted", "made-by-hand"} {
		c.secret("default", &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}}, Type: corev1.SecretTypeServiceAccountToken,
		})
	}
	account.Secrets = []corev1.ObjectReference{{Name: "generated"}, {Name: "mounted"}}
	must(c.client.CoreV1().ServiceAccounts("default").Update(c.ctx, account, metav1.UpdateOptions{}))(t)
	user := podTemplate("user", "any").Spec
	user.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "mounted"}}}}
	must(c.client.CoreV1().Pods("default").Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "user"}, Spec: user}, metav1.CreateOptions{}))(t)
	// The server notes uses, and since when.
	await(c, c.client.CoreV1().ConfigMaps("kube-system"), "kube-apiserver-legacy-service-account-token-tracking", func(*corev1.ConfigMap) bool { return true })
	a := c.age("legacy-service-account-token-cleaner", serviceaccount.CleanLegacy(serviceaccount.LegacyOptions{
		Unused: unused, Names: func(pod *corev1.Pod, visit func(string) bool) bool { return podutil.VisitPodSecretNames(pod, visit) },
	}))
	const invalid = "kubernetes.io/legacy-token-invalid-since"
	a.until("the unused token's end of validity", func() bool {
		a.clock.Step(24 * time.Hour)
		return must(secrets.Get(c.ctx, "generated", metav1.GetOptions{}))(t).Labels[invalid] != ""
	})
	if waited := a.clock.Since(time.Now()); waited < unused {
		t.Errorf("it was taken for unused after %v", waited)
	}
	a.until("the unused token's end", func() bool {
		a.clock.Step(24 * time.Hour)
		return slices.Equal(names(must(secrets.List(c.ctx, metav1.ListOptions{}))(t).Items), []string{"made-by-hand", "mounted"})
	})
	for _, secret := range must(secrets.List(c.ctx, metav1.ListOptions{}))(t).Items {
		if secret.Labels[invalid] != "" {
			t.Errorf("%s became invalid", secret.Name)
		}
	}
}

func TestFinishedJobsAreDeleted(t *testing.T) {
	c := start(t, nil, "serviceaccount", "garbagecollector")
	await(c, c.client.CoreV1().ServiceAccounts("default"), "default", func(*corev1.ServiceAccount) bool { return true })
	jobs := c.client.BatchV1().Jobs("default")
	create := func(name string, ttl *int32, finished bool) {
		t.Helper()
		template := podTemplate(name, "any")
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		job := must(jobs.Create(c.ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: template, TTLSecondsAfterFinished: ttl}}, metav1.CreateOptions{}))(t)
		if !finished {
			return
		}
		now := metav1.Now()
		job.Status = batchv1.JobStatus{Succeeded: 1, StartTime: &now, CompletionTime: &now, UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{}, Conditions: []batchv1.JobCondition{
			{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now}, {Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now},
		}}
		must(jobs.UpdateStatus(c.ctx, job, metav1.UpdateOptions{}))(t)
	}
	create("expires", ptr.To[int32](3600), true)
	create("runs", ptr.To[int32](3600), false)
	create("stays", nil, true)
	a := c.age("ttl-after-finished-controller", ttlafterfinished.Setup(1))
	a.until("the end of the Job that expires", func() bool {
		return slices.Equal(names(must(jobs.List(c.ctx, metav1.ListOptions{}))(t).Items), []string{"runs", "stays"})
	})
	if waited := a.clock.Since(time.Now()); waited < 50*time.Minute {
		t.Errorf("it was deleted after %v", waited)
	}
}

func TestNodesAreToldHowLongToCache(t *testing.T) {
	c := start(t, nil, "ttl")
	nodes := c.client.CoreV1().Nodes()
	for i := range 101 {
		must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)}}, metav1.CreateOptions{}))(t)
	}
	says := func(name, seconds string) {
		t.Helper()
		await(c, nodes, name, func(n *corev1.Node) bool { return n.Annotations[corev1.ObjectTTLAnnotationKey] == seconds })
	}
	says("node-0", "15")
	says("node-100", "15")
	for i := range 12 {
		if err := nodes.Delete(c.ctx, fmt.Sprint("node-", i), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	says("node-100", "0")
}

// TestTaintedNodesLoseTheirPods is what becomes of pods when a node gets a taint
// that evicts, and when it loses it again in time.
func TestTaintedNodesLoseTheirPods(t *testing.T) {
	c := start(t, nil, "serviceaccount", "taint-eviction-controller")
	await(c, c.client.CoreV1().ServiceAccounts("default"), "default", func(*corev1.ServiceAccount) bool { return true })
	nodes, pods := c.client.CoreV1().Nodes(), c.client.CoreV1().Pods("default")
	must(nodes.Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{}))(t)
	create := func(name string, seconds *int64, tolerates bool) {
		t.Helper()
		spec := podTemplate(name, "any").Spec
		if spec.NodeName = "a"; tolerates {
			spec.Tolerations = []corev1.Toleration{{Key: "example.org/bad", Operator: corev1.TolerationOpExists, TolerationSeconds: seconds, Effect: corev1.TaintEffectNoExecute}}
		}
		must(pods.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"example.org/witness"}}, Spec: spec}, metav1.CreateOptions{}))(t)
	}
	create("goes", nil, false)
	create("stays", nil, true)
	create("stays-long", ptr.To[int64](3600), true)
	create("stays-a-second", ptr.To[int64](1), true)
	taint := func(taints string) {
		t.Helper()
		must(nodes.Patch(c.ctx, "a", types.MergePatchType, []byte(`{"spec":{"taints":`+taints+`}}`), metav1.PatchOptions{}))(t)
	}
	taint(`[{"key":"example.org/bad","effect":"NoExecute"}]`)
	for _, name := range []string{"goes", "stays-a-second"} {
		pod := await(c, pods, name, func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
		if _, why := podutil.GetPodCondition(&pod.Status, corev1.DisruptionTarget); why == nil || why.Reason != "DeletionByTaintManager" {
			t.Errorf("%s goes as %+v", name, pod.Status)
		}
	}
	c.awaitEvent("default", "goes", "TaintManagerEviction")
	taint(`null`)
	if message := c.awaitEvent("default", "stays-long", "TaintManagerEviction").Message; message != "Cancelling deletion of Pod default/stays-long" {
		t.Error(message)
	}
	for _, name := range []string{"stays", "stays-long"} {
		if pod := must(pods.Get(c.ctx, name, metav1.GetOptions{}))(t); pod.DeletionTimestamp != nil {
			t.Errorf("%s was deleted", name)
		}
	}
}
