package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

var rolling = []string{"deployment", "replicaset", "statefulset", "daemonset", "job"}

// rollouts has a Deployment, a StatefulSet and a DaemonSet roll twice, and an
// indexed Job run, by the controllers that [rolling] names. Whatever befalls
// those, it checks that there are never more pods than surge allows, nor fewer
// than maxUnavailable permits, nor two of an index.
func (c *cluster) rollouts(w *workers) {
	c.Helper()
	const ns = "rolling"
	apps := c.client.AppsV1()
	must(apps.Deployments(ns).Create(c.ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To[int32](5), Selector: appSelector("web"), Template: podTemplate("web", "ready:1"),
		Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt32(2)), MaxUnavailable: ptr.To(intstr.FromInt32(1))}},
	}}, metav1.CreateOptions{}))(c)
	must(apps.StatefulSets(ns).Create(c.ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](3), Selector: appSelector("db"), Template: podTemplate("db", "ready:1"), ServiceName: "db",
	}}, metav1.CreateOptions{}))(c)
	must(apps.DaemonSets(ns).Create(c.ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{
		Selector: appSelector("agent"), Template: podTemplate("agent", "ready:1"),
	}}, metav1.CreateOptions{}))(c)
	sum := podTemplate("sum", "done")
	sum.Spec.RestartPolicy = corev1.RestartPolicyNever
	must(c.client.BatchV1().Jobs(ns).Create(c.ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sum"}, Spec: batchv1.JobSpec{
		Template: sum, Parallelism: ptr.To[int32](3), Completions: ptr.To[int32](9), CompletionMode: ptr.To(batchv1.IndexedCompletion),
	}}, metav1.CreateOptions{}))(c)
	rolled := func() {
		c.Helper()
		await(c, apps.Deployments(ns), "web", func(d *appsv1.Deployment) bool {
			s := d.Status
			return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 5 && s.AvailableReplicas == 5 && s.Replicas == 5
		})
		await(c, apps.StatefulSets(ns), "db", func(d *appsv1.StatefulSet) bool {
			s := d.Status
			return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 3 && s.AvailableReplicas == 3 && s.Replicas == 3
		})
		await(c, apps.DaemonSets(ns), "agent", func(d *appsv1.DaemonSet) bool {
			s := d.Status
			return s.ObservedGeneration == d.Generation && s.UpdatedNumberScheduled == nodesOfRollouts && s.NumberAvailable == nodesOfRollouts
		})
	}
	rolled()
	web, db, agent := w.from("web", 5), w.from("db", 3), w.from("agent", nodesOfRollouts)
	for image := 2; image <= 3; image++ {
		patch := func(name string) []byte {
			return fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"ready:%d"}]}}}}`, image)
		}
		must(apps.Deployments(ns).Patch(c.ctx, "web", types.StrategicMergePatchType, patch("web"), metav1.PatchOptions{}))(c)
		must(apps.StatefulSets(ns).Patch(c.ctx, "db", types.StrategicMergePatchType, patch("db"), metav1.PatchOptions{}))(c)
		must(apps.DaemonSets(ns).Patch(c.ctx, "agent", types.StrategicMergePatchType, patch("agent"), metav1.PatchOptions{}))(c)
		rolled()
	}
	job := await(c, c.client.BatchV1().Jobs(ns), "sum", func(j *batchv1.Job) bool { return j.Status.CompletionTime != nil })
	if job.Status.Succeeded != 9 || job.Status.CompletedIndexes != "0-8" || job.Status.Failed != 0 {
		c.Errorf("the Job ended with %+v", job.Status)
	}
	web.within(4, 7)
	db.within(2, 3)
	agent.within(nodesOfRollouts-1, nodesOfRollouts)
	w.noIndexTwice()
}

const nodesOfRollouts = 3

// startRolling starts what rollouts need but for the controllers.
func startRolling(t *testing.T) (*cluster, *workers) {
	t.Helper()
	c := start(t, nil, "serviceaccount")
	w := c.workers()
	ns := c.namespace("rolling")
	await(c, c.client.CoreV1().ServiceAccounts(ns), "default", func(*corev1.ServiceAccount) bool { return true })
	for i := range nodesOfRollouts {
		node := must(c.client.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)}}, metav1.CreateOptions{}))(t)
		node.Spec.Taints = nil // admission's, until the node is ready
		must(c.client.CoreV1().Nodes().Update(c.ctx, node, metav1.UpdateOptions{}))(t)
	}
	return c, w
}

func createsPod(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods")
}

// TestRolloutsBearFaults has one write in four fail. That the answer to a pod's
// creation is lost is left out: who doesn't know of its pod makes another, here as
// in kube-controller-manager, and deletes one.
func TestRolloutsBearFaults(t *testing.T) {
	c, w := startRolling(t)
	c.fail(c.reach(), createsPod, rolling...)
	c.rollouts(w)
}

// TestRolloutsBearStaleCaches has every event come late to the controllers, those
// of one kind later than those of another, while somebody else writes what they
// write, so that they meet conflicts.
func TestRolloutsBearStaleCaches(t *testing.T) {
	c, w := startRolling(t)
	c.control(&late{server: c.reach(), random: rand.New(rand.NewPCG(1, 2))}, nil, rolling...)
	meddling := make(chan struct{})
	t.Cleanup(func() { <-meddling })
	go func() {
		defer close(meddling)
		apps := c.client.AppsV1().RESTClient()
		for i := 0; c.ctx.Err() == nil; i++ {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"meddled":"%d"}}}`, i)
			for resource, name := range map[string]string{"deployments": "web", "statefulsets": "db", "daemonsets": "agent"} {
				// They may not be there yet, or the test may be over.
				_ = apps.Patch(types.MergePatchType).Namespace("rolling").Resource(resource).Name(name).Body(patch).Do(c.ctx).Error()
			}
			select {
			case <-time.After(300 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}()
	c.rollouts(w)
}

// late holds back what watches tell, for as long as is drawn for each.
type late struct {
	server http.Handler

	mu     sync.Mutex
	random *rand.Rand
}

func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "" {
		l.server.ServeHTTP(w, r)
		return
	}
	l.mu.Lock()
	by := time.Duration(l.random.IntN(150)) * time.Millisecond
	l.mu.Unlock()
	type piece struct {
		at   time.Time
		data []byte
	}
	pieces, told := make(chan piece, 10_000), make(chan struct{})
	go func() {
		defer close(told)
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			if _, err := w.Write(p.data); err != nil {
				continue // nobody reads any more
			}
			w.(http.Flusher).Flush()
		}
	}()
	defer func() { // the proxy panics when an answer ends early
		close(pieces)
		<-told
	}()
	l.server.ServeHTTP(held{w, func(data []byte) { pieces <- piece{time.Now().Add(by), data} }}, r)
}

// held is an answer whose body goes elsewhere first.
type held struct {
	http.ResponseWriter
	keep func([]byte)
}

func (h held) Write(data []byte) (int, error) {
	h.keep(append([]byte(nil), data...))
	return len(data), nil
}

func (held) Flush() {}

// TestRolloutsBearRestarts has the controllers crash all the time, each time after
// another number of writes whose last answer they don't get, so that there is
// hardly a point at which they don't start anew.
func TestRolloutsBearRestarts(t *testing.T) {
	c, w := startRolling(t)
	lives, ended := 0, make(chan struct{})
	t.Cleanup(func() {
		if <-ended; lives < 10 {
			t.Errorf("only %d lives", lives)
		}
	})
	go func() {
		defer close(ended)
		for t.Context().Err() == nil && c.ctx.Err() == nil {
			lives++
			m := &mortal{server: c.reach(), writes: 1 + lives%5, died: make(chan struct{})}
			end := c.begin(m, nil, rolling...)
			select {
			case <-m.died:
			case <-t.Context().Done():
			}
			end()
		}
	}()
	c.rollouts(w)
}

// mortal lets through so many writes, and nothing any more once the last of them
// has reached the server.
type mortal struct {
	server http.Handler
	died   chan struct{}

	mu     sync.Mutex
	writes int
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	dead := m.writes <= 0
	counts := r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/events")
	if counts {
		m.writes--
	}
	last := counts && m.writes == 0
	m.mu.Unlock()
	switch {
	case dead:
		panic(http.ErrAbortHandler)
	case last:
		m.server.ServeHTTP(httptest.NewRecorder(), r)
		close(m.died)
		panic(http.ErrAbortHandler)
	}
	m.server.ServeHTTP(w, r)
}
