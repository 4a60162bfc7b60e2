package state

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// What a container without a request counts as where nodes are scored; the
// figures are kube-scheduler's.
const (
	defaultMilliCPU = 100
	defaultMemory   = 200 << 20
)

// ask works out what the pod asks for: by numbers where they say all there is to
// say, and else by upstream's lists.
func (p *Pod) ask() {
	t := tally{pod: p.Obj, infeasible: resourcehelper.IsPodResizeInfeasible(p.Obj)}
	if t.count(); t.inexact {
		p.askUpstream()
		return
	}
	p.Requests, p.Uses = t.requests.resources(), t.uses.resources()
	p.ScoredMilliCPU, p.ScoredMemory = t.uses.scoredMilliCPU, t.uses.scoredMemory
}

func (p *Pod) askUpstream() {
	p.Requests = newRequests(resourcehelper.PodRequests(p.Obj, resourcehelper.PodResourcesOptions{}))
	uses := resourcehelper.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}
	requests := resourcehelper.PodRequests(p.Obj, uses)
	p.Uses = newRequests(requests)
	if missing := missingRequests(p.Obj, requests); len(missing) > 0 {
		uses.NonMissingContainerRequests = missing
		requests = resourcehelper.PodRequests(p.Obj, uses)
	}
	p.ScoredMilliCPU, p.ScoredMemory = requests.Cpu().MilliValue(), requests.Memory().Value()
}

// missingRequests are those that containers without them count as. Requests of
// the pod as a whole stand for those of its containers.
func missingRequests(pod *corev1.Pod, requests corev1.ResourceList) corev1.ResourceList {
	missing := corev1.ResourceList{}
	whole := resourcehelper.IsPodLevelRequestsSet(pod)
	if _, ok := requests[corev1.ResourceCPU]; !whole || !ok {
		missing[corev1.ResourceCPU] = *resource.NewMilliQuantity(defaultMilliCPU, resource.DecimalSI)
	}
	if _, ok := requests[corev1.ResourceMemory]; !whole || !ok {
		missing[corev1.ResourceMemory] = *resource.NewQuantity(defaultMemory, resource.DecimalSI)
	}
	return missing
}

// A tally adds up a pod's requests as upstream's PodRequests does, without its
// many lists. It is for what nearly all pods ask for: CPU, memory and ephemeral
// storage of containers, in whole numbers of sane size.
type tally struct {
	pod            *corev1.Pod
	infeasible     bool // the resize that the pod waits for is
	inexact        bool // there is more than that, so its sums say nothing
	requests, uses amounts
}

type amounts struct {
	milliCPU, memory, storage    int64
	scoredMilliCPU, scoredMemory int64 // something for what isn't requested
}

func (a amounts) resources() Resources {
	return Resources{MilliCPU: a.milliCPU, Memory: a.memory, EphemeralStorage: a.storage}
}

func (a amounts) plus(b amounts) amounts {
	return amounts{a.milliCPU + b.milliCPU, a.memory + b.memory, a.storage + b.storage, a.scoredMilliCPU + b.scoredMilliCPU, a.scoredMemory + b.scoredMemory}
}

func (a amounts) or(b amounts) amounts {
	return amounts{
		max(a.milliCPU, b.milliCPU), max(a.memory, b.memory), max(a.storage, b.storage),
		max(a.scoredMilliCPU, b.scoredMilliCPU), max(a.scoredMemory, b.scoredMemory),
	}
}

func (t *tally) count() {
	spec, status := &t.pod.Spec, &t.pod.Status
	if spec.Resources != nil || status.Resources != nil {
		t.inexact = true // of the pod as a whole
		return
	}
	overhead := t.list(spec.Overhead)
	wanted := t.containers(func(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests })
	t.requests = wanted.plus(overhead)
	t.uses = wanted
	if len(status.ContainerStatuses)+len(status.InitContainerStatuses) > 0 || t.infeasible {
		allocated := t.containers(t.allocated)
		t.uses = allocated.or(t.containers(t.actuated))
		if !t.infeasible {
			t.uses = t.uses.or(wanted)
		}
	}
	t.uses = t.uses.plus(overhead)
}

// containers is what the containers take at most at a time, each as of says.
func (t *tally) containers(of func(*corev1.Container) corev1.ResourceList) amounts {
	var running, sidecars, starting amounts
	for i := range t.pod.Spec.Containers {
		running = running.plus(t.container(of(&t.pod.Spec.Containers[i])))
	}
	for i := range t.pod.Spec.InitContainers {
		c := &t.pod.Spec.InitContainers[i]
		takes := t.container(of(c))
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			running, sidecars = running.plus(takes), sidecars.plus(takes)
			starting = starting.or(sidecars)
		} else {
			starting = starting.or(sidecars.plus(takes))
		}
	}
	return running.or(starting)
}

// allocated is what the kubelet has set aside for a container.
func (t *tally) allocated(c *corev1.Container) corev1.ResourceList {
	if s := t.status(c.Name); s != nil && s.AllocatedResources != nil {
		return s.AllocatedResources
	}
	if t.infeasible {
		return nil
	}
	return c.Resources.Requests
}

// actuated is with what a container runs.
func (t *tally) actuated(c *corev1.Container) corev1.ResourceList {
	if s := t.status(c.Name); s != nil && s.Resources != nil && s.Resources.Requests != nil {
		return s.Resources.Requests
	}
	return t.allocated(c)
}

func (t *tally) status(container string) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{t.pod.Status.ContainerStatuses, t.pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == container {
				return &statuses[i]
			}
		}
	}
	return nil
}

func (t *tally) container(list corev1.ResourceList) amounts {
	a := t.list(list)
	if _, ok := list[corev1.ResourceCPU]; !ok {
		a.scoredMilliCPU = defaultMilliCPU
	}
	if _, ok := list[corev1.ResourceMemory]; !ok {
		a.scoredMemory = defaultMemory
	}
	return a
}

func (t *tally) list(list corev1.ResourceList) amounts {
	var a amounts
	for name, quantity := range list {
		switch name {
		case corev1.ResourceCPU:
			a.milliCPU = t.number(quantity, resource.Milli)
			a.scoredMilliCPU = a.milliCPU
		case corev1.ResourceMemory:
			a.memory = t.number(quantity, 0)
			a.scoredMemory = a.memory
		case corev1.ResourceEphemeralStorage:
			a.storage = t.number(quantity, 0)
		default:
			t.inexact = true
		}
	}
	return a
}

// number is a quantity in units of the scale. Sums of fractions would be rounded
// in another place than upstream's, and those of huge numbers would wrap around.
func (t *tally) number(quantity resource.Quantity, scale resource.Scale) int64 {
	const sane = math.MaxInt64 >> 16
	n := quantity.ScaledValue(scale)
	if n < 0 || n > sane || quantity.Cmp(*resource.NewScaledQuantity(n, scale)) != 0 {
		t.inexact = true
	}
	return n
}
