package difftest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"
	componentversion "k8s.io/component-base/version"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/howdah/howdah/scheduler/config"
	"github.com/howdah/howdah/scheduler/device"
	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
	"github.com/howdah/howdah/scheduler/volume"
	"github.com/howdah/howdah/scheduler/workload"
)

var (
	worlds = flag.Uint64("worlds", 2000, "how many clusters to generate")
	first  = flag.Uint64("first", 0, "the first cluster's seed")
)

type nominations map[string][]*state.Pod

func (n nominations) On(node string) []*state.Pod { return n[node] }
func (n nominations) Any() bool                   { return len(n) > 0 }

// TestPlacement: for every pod the same nodes are refused for the same reasons,
// and the others have the same scores.
func TestPlacement(t *testing.T) {
	counts := map[string]int{}
	for seed := *first; seed < *first+*worlds; seed++ {
		w := generate(seed)
		factory := listers(t, w)
		c := configuration(t, seed)
		profiles, err := config.Profiles(c)
		if err != nil {
			t.Fatal(err)
		}
		theirs := newUpstream(t, w, &c.Profiles[0], factory)
		cluster := state.NewCluster()
		for _, ns := range w.namespaces {
			cluster.SetNamespace(ns.Name, labels.Set(ns.Labels))
		}
		for _, node := range w.nodes {
			cluster.SetNode(node)
		}
		for _, pod := range w.running {
			cluster.AddPod(state.NewPod(pod), pod.Spec.NodeName)
		}
		nominated := nominations{}
		for _, pod := range w.nominated {
			nominated[pod.Status.NominatedNodeName] = append(nominated[pod.Status.NominatedNodeName], state.NewPod(pod))
		}
		release, err := version.Parse(componentversion.Get().String())
		if err != nil {
			t.Fatal(err)
		}
		devices := w.devices.ours(factory)
		ours, err := placement.New(placement.Options{
			Config: profiles[0].Placement, Cluster: cluster, Version: release, Workloads: workload.New(factory),
			Plugins: append(volume.New(factory, nil).Plugins(volume.DefaultArgs()), devices.Plugin(corev1.DefaultSchedulerName, device.DefaultArgs())),
			Devices: devices, Nominations: nominated, Random: rand.New(rand.NewPCG(seed, 2)),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range w.pending {
			problem := compare(t, ours, theirs, w, profiles[0].Placement, state.NewPod(pod), counts)
			if problem != "" {
				t.Errorf("seed %d, pod %s:\n%s", seed, pod.Name, problem)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("compared: %v", counts)
}

func compare(t *testing.T, ours *placement.Placer, theirs *upstream, w *world, profile placement.Config, pod *state.Pod, counts map[string]int) string {
	var out strings.Builder
	want := theirs.decide(t.Context(), t, pod.Obj)
	if errors := want.errors(); len(errors) > 0 {
		counts["errors"]++
		if _, diagnosis := ours.Find(pod); diagnosis == nil || diagnosis.Err() == nil || !slices.Contains(errors, diagnosis.Err().Error()) {
			return fmt.Sprintf("says %v, upstream fails by %q", diagnosis, errors)
		}
		return ""
	}
	verdicts, before := ours.Explain(pod)
	if before != nil {
		verdicts = nil
		for _, node := range w.nodes {
			verdicts = append(verdicts, placement.Verdict{Node: node.Name, Status: before})
		}
	}
	for _, got := range verdicts {
		counts["nodes"]++
		refusal := want.refused[got.Node]
		switch {
		case refusal == nil && got.Status == nil:
			counts["feasible"]++
			if got.Score != want.scores[got.Node] {
				fmt.Fprintf(&out, "%s scores %d, upstream %d: %v\n", got.Node, got.Score, want.scores[got.Node], want.parts[got.Node])
			}
		case refusal == nil || got.Status == nil:
			fmt.Fprintf(&out, "%s is %v, upstream says %v\n", got.Node, got.Status, refusal)
		default:
			counts["refused by "+got.Status.Plugin]++
			reasons, theirs := slices.Sorted(slices.Values(got.Status.Reasons)), slices.Sorted(slices.Values(refusal.Reasons()))
			if !slices.Equal(reasons, theirs) || got.Status.Unresolvable != (refusal.Code() == fwk.UnschedulableAndUnresolvable) || got.Status.Plugin != refusal.Plugin() {
				fmt.Fprintf(&out, "%s is refused by %+v, upstream says %q by %s, %v\n", got.Node, *got.Status, theirs, refusal.Plugin(), refusal.Code())
			}
		}
	}
	choice, diagnosis := ours.Find(pod)
	if len(want.scores) > 0 {
		best := int64(-1)
		for _, score := range want.scores {
			best = max(best, score)
		}
		if diagnosis != nil || want.scores[choice.Node] != best {
			fmt.Fprintf(&out, "chose %q (%v), whose upstream score is %d, not %d\n", choice.Node, diagnosis, want.scores[choice.Node], best)
		}
		return out.String()
	}
	if diagnosis == nil {
		return out.String() + "a node was found\n"
	}
	if diagnosis.String() != want.fitError.Error() {
		fmt.Fprintf(&out, "says    %s\nupstream %s\n", diagnosis, want.fitError)
	}
	if slices.ContainsFunc(slices.Concat(pod.Obj.Spec.TopologySpreadConstraints, profile.DefaultConstraints), hard) && slices.ContainsFunc(w.running, leaving) {
		return out.String() // kube-scheduler takes pods that are leaving off counts in which they aren't
	}
	comparePreemption(t, ours, theirs, w, pod, diagnosis, want, counts, &out)
	return out.String()
}

// comparePreemption: the same nodes are candidates, with the same victims.
func comparePreemption(t *testing.T, ours *placement.Placer, theirs *upstream, w *world, pod *state.Pod, diagnosis *placement.Diagnosis, want outcome, counts map[string]int, out *strings.Builder) {
	got := ours.Preempt(pod, diagnosis, w.budgets, birth.Add(time.Hour))
	if ok, reason := theirs.preemption.PodEligibleToPreemptOthers(t.Context(), pod.Obj, nil); !ok {
		if got.Message != reason {
			fmt.Fprintf(out, "preemption says %q, upstream %q\n", got.Message, reason)
		}
		return
	}
	potential, err := want.statuses.NodesForStatusCode(theirs.snapshot, fwk.Unschedulable)
	if err != nil {
		t.Fatal(err)
	}
	if len(potential) == 0 {
		if len(got.Candidates) > 0 {
			fmt.Fprintf(out, "preemption is possible, upstream says it isn't\n")
		}
		return
	}
	candidates, _, err := theirs.preemption.Evaluator.DryRunPreemption(t.Context(), want.state, pod.Obj, potential, w.budgets, 0, int32(len(potential)))
	if err != nil {
		counts["preemptions that fail"]++ // a node on which a plugin can't tell whether the pod fits
		return
	}
	victims := map[string]string{}
	for _, c := range candidates {
		victims[c.Name()] = fmt.Sprint(c.Victims().NumPDBViolations, names(c.Victims().Pods))
	}
	counts["candidates for preemption"] += len(candidates)
	for _, c := range got.Candidates {
		var pods []*corev1.Pod
		for _, victim := range c.Pods {
			pods = append(pods, victim.Obj)
		}
		if have := fmt.Sprint(c.Violations, names(pods)); have != victims[c.Node] {
			fmt.Fprintf(out, "victims on %s are %s, upstream's %s\n", c.Node, have, victims[c.Node])
		}
	}
	if len(got.Candidates) != len(candidates) {
		fmt.Fprintf(out, "%d candidates for preemption (%s), upstream has %d: %v\n", len(got.Candidates), got.Message, len(candidates), victims)
	}
	if len(candidates) > 0 && out.Len() == 0 {
		picked, best := placement.Pick(got.Candidates, birth.Add(time.Hour)), theirs.preemption.Evaluator.SelectCandidate(t.Context(), candidates)
		if picked.Node != best.Name() {
			fmt.Fprintf(out, "picked %s, upstream %s\n", picked.Node, best.Name())
		}
	}
}

func hard(c corev1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == corev1.DoNotSchedule }

func leaving(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

func names(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		out = append(out, pod.Name)
	}
	return out
}

func join(list []string) string {
	slices.Sort(list)
	return strings.Join(list, " ")
}
