package difftest

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// upstream is kube-scheduler's framework on a world.
type upstream struct {
	framework.Framework
	snapshot   *internalcache.Snapshot
	preemption *defaultpreemption.DefaultPreemption
}

// nominator answers from a fixed list.
type nominator struct{ pods map[string][]fwk.PodInfo }

func (n *nominator) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}
func (n *nominator) DeleteNominatedPodIfExists(*corev1.Pod)                        {}
func (n *nominator) UpdateNominatedPod(klog.Logger, *corev1.Pod, fwk.PodInfo)      {}
func (n *nominator) NominatedPodsForNode(name string) []fwk.PodInfo                { return n.pods[name] }

// listers fills informers that never run.
func listers(t *testing.T, w *world) informers.SharedInformerFactory {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "nowhere.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	for _, o := range w.namespaces {
		core.Namespaces().Informer().GetIndexer().Add(o)
	}
	for _, o := range w.services {
		core.Services().Informer().GetIndexer().Add(o)
	}
	for _, o := range w.sets {
		factory.Apps().V1().ReplicaSets().Informer().GetIndexer().Add(o)
	}
	for _, o := range w.budgets {
		factory.Policy().V1().PodDisruptionBudgets().Informer().GetIndexer().Add(o)
	}
	w.storage.add(factory)
	for _, pods := range [][]*corev1.Pod{w.running, w.nominated, w.pending} {
		for _, o := range pods {
			core.Pods().Informer().GetIndexer().Add(o)
		}
	}
	return factory
}

func newUpstream(t *testing.T, w *world, profile *config.KubeSchedulerProfile, factory informers.SharedInformerFactory) *upstream {
	metrics.Register()
	snapshot := internalcache.NewSnapshot(w.running, w.nodes)
	nominated := &nominator{pods: map[string][]fwk.PodInfo{}}
	for _, pod := range w.nominated {
		info, err := framework.NewPodInfo(pod)
		if err != nil {
			t.Fatal(err)
		}
		nominated.pods[pod.Status.NominatedNodeName] = append(nominated.pods[pod.Status.NominatedNodeName], info)
	}
	ctx := t.Context()
	fw, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), profile,
		frameworkruntime.WithSnapshotSharedLister(snapshot), frameworkruntime.WithMutableSnapshotLister(snapshot),
		frameworkruntime.WithInformerFactory(factory), frameworkruntime.WithPodNominator(nominated),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithSharedDRAManager(w.devices.theirs()),
		frameworkruntime.WithParallelism(1), frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()),
	)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{Framework: fw, snapshot: snapshot}
	args := &config.DefaultPreemptionArgs{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100}
	u.preemption, err = defaultpreemption.New(ctx, args, fw, feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// outcome is what the scheduling cycle finds.
type outcome struct {
	refused  map[string]*fwk.Status // by node
	scores   map[string]int64
	parts    map[string][]fwk.PluginScore
	fitError *framework.FitError
	state    fwk.CycleState
	statuses *framework.NodeToStatus
}

// errors are those that end the attempt.
func (o *outcome) errors() []string {
	var all []string
	for _, status := range o.refused {
		if status.Code() == fwk.Error {
			all = append(all, status.Message())
		}
	}
	return all
}

func (u *upstream) decide(ctx context.Context, t *testing.T, pod *corev1.Pod) outcome {
	o := outcome{refused: map[string]*fwk.Status{}, scores: map[string]int64{}, parts: map[string][]fwk.PluginScore{}, state: framework.NewCycleState(), statuses: framework.NewDefaultNodeToStatus()}
	nodes, err := u.snapshot.List()
	if err != nil {
		t.Fatal(err)
	}
	o.fitError = &framework.FitError{Pod: pod, NumAllNodes: len(nodes), Diagnosis: framework.Diagnosis{NodeToStatus: o.statuses}}
	only, status, plugins := u.RunPreFilterPlugins(ctx, o.state, pod)
	if !status.IsSuccess() {
		if !status.IsRejected() {
			t.Fatal(status.AsError())
		}
		o.statuses.SetAbsentNodesStatus(status)
		o.fitError.Diagnosis.PreFilterMsg = status.Message()
		for _, node := range nodes {
			o.refused[node.Node().Name] = status
		}
		return o
	}
	if !only.AllNodes() {
		o.statuses.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node(s) didn't satisfy plugin(s) ["+join(plugins.UnsortedList())+"]"))
	}
	var feasible []fwk.NodeInfo
	for _, node := range nodes {
		name := node.Node().Name
		if !only.AllNodes() && !only.NodeNames.Has(name) {
			o.refused[name] = o.statuses.AbsentNodesStatus()
			continue
		}
		if status := u.RunFilterPluginsWithNominatedPods(ctx, o.state, pod, node); status.IsSuccess() {
			feasible = append(feasible, node)
		} else {
			o.refused[name] = status
			o.statuses.Set(name, status)
		}
	}
	if len(feasible) == 0 {
		return o
	}
	if status := u.RunPreScorePlugins(ctx, o.state, pod, feasible); !status.IsSuccess() {
		t.Fatal(status.AsError())
	}
	scores, status := u.RunScorePlugins(ctx, o.state, pod, feasible)
	if !status.IsSuccess() {
		t.Fatal(status.AsError())
	}
	for _, score := range scores {
		o.scores[score.Name] = score.TotalScore
		o.parts[score.Name] = score.Scores
	}
	return o
}
