package nodelifecycle

import (
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
)

// A state says how much of a zone is down.
type state string

const (
	normal  state = "Normal"
	partial state = "PartialDisruption"
	full    state = "FullDisruption"
)

// stateOf is the state of a zone, or of a cluster without zones.
func stateOf(ready, notReady int, threshold float32) state {
	switch {
	case ready == 0 && notReady > 0:
		return full
	case notReady > 2 && float32(notReady)/float32(notReady+ready) >= threshold:
		return partial
	}
	return normal
}

// A zone limits how fast its nodes are tainted, so that a failure of the network
// doesn't look like the death of every node.
type zone struct {
	state   state
	stopped bool // the limit is 0
	limiter *rate.Limiter
	queue   []string // nodes to taint, first come first served
	queued  map[string]bool
}

func newZone(perSecond float32) *zone {
	return &zone{state: normal, limiter: rate.NewLimiter(rate.Limit(perSecond), 1), queued: map[string]bool{}}
}

func (z *zone) limit(perSecond float32, now time.Time) {
	z.stopped = perSecond == 0
	z.limiter.SetLimitAt(now, rate.Limit(perSecond))
}

func (z *zone) add(node string) {
	if !z.queued[node] {
		z.queued[node] = true
		z.queue = append(z.queue, node)
	}
}

func (z *zone) remove(node string) { delete(z.queued, node) }

// next is the node that may be tainted now, if any.
func (z *zone) next(now time.Time) (node string, ok bool) {
	for len(z.queue) > 0 {
		node = z.queue[0]
		if !z.queued[node] { // recovered
			z.queue = z.queue[1:]
			continue
		}
		if z.stopped || !z.limiter.AllowN(now, 1) {
			return "", false
		}
		z.queue = z.queue[1:]
		delete(z.queued, node)
		return node, true
	}
	return "", false
}

// rates are the evictions a second by the state of a zone.
type rates struct {
	healthy, reduced float32
	large            int32 // nodes from which a zone in partial disruption still evicts
	threshold        float32
}

func (r rates) of(s state, nodes int) float32 {
	if s == partial {
		if nodes > int(r.large) {
			return r.reduced
		}
		return 0
	}
	return r.healthy
}

// zones are the zones of a cluster by key.
type zones struct {
	rates
	all    map[string]*zone
	master bool // everything seems down: more likely we are cut off
}

// of returns a node's zone, which may be new.
func (z *zones) of(key string) *zone {
	if z.all[key] == nil {
		z.all[key] = newZone(z.healthy)
	}
	return z.all[key]
}

// A count is the nodes of a zone.
type count struct{ ready, notReady int }

// change is what becomes of the zones after a pass.
type change struct {
	entered bool // everything is down: nothing is to be evicted any more
	left    bool // not everything is down any more: silence counts from now
}

// update takes in how many nodes of each zone are ready.
func (z *zones) update(counts map[string]count, now time.Time) change {
	states, down := map[string]state{}, len(counts) > 0
	for key, c := range counts {
		z.of(key)
		states[key] = stateOf(c.ready, c.notReady, z.threshold)
		down = down && states[key] == full
	}
	for key := range z.all {
		if _, there := counts[key]; !there {
			delete(z.all, key)
		}
	}
	was := z.master
	z.master = down
	for key, one := range z.all {
		if down {
			one.state = full
			one.limit(0, now)
			continue
		}
		if was || one.state != states[key] {
			one.state = states[key]
			one.limit(z.rates.of(one.state, counts[key].ready+counts[key].notReady), now)
		}
	}
	return change{entered: down && !was, left: was && !down}
}

// counted adds a node to its zone's count.
func (c count) counted(status corev1.ConditionStatus) count {
	if status == corev1.ConditionTrue {
		c.ready++
	} else {
		c.notReady++
	}
	return c
}
