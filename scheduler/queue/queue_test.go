package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/howdah/howdah/scheduler/state"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pod(name string, priority int32) *state.Pod {
	return state.NewPod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Priority: &priority}})
}

func expect(t *testing.T, q *Queue, now time.Time, names ...string) []*Item {
	t.Helper()
	var items []*Item
	for _, name := range names {
		item := q.Pop(now)
		if item == nil || item.Pod.Obj.Name != name {
			t.Fatalf("%v is next, expected %s", item, name)
		}
		items = append(items, item)
	}
	return items
}

func TestOrder(t *testing.T) {
	q := New(Options{})
	q.Add(pod("a", 0), start)
	q.Add(pod("b", 5), start.Add(time.Second))
	q.Add(pod("c", 0), start.Add(-time.Second))
	expect(t, q, start, "b", "c", "a")
	if q.Pop(start) != nil {
		t.Error("more than was added")
	}
}

// A pod that no node took waits for an event that may help, then for its
// backoff, which grows; unless there is nothing better to do.
func TestParked(t *testing.T) {
	q := New(Options{})
	q.Add(pod("a", 0), start)
	now := start
	for attempt, backoff := range []time.Duration{1, 2, 4, 8, 10, 10} {
		item := expect(t, q, now, "a")[0]
		q.Park(item, map[string]bool{"P": true}, false, now)
		q.Move("other", []string{"Q"}, func(string, *state.Pod) bool { return true }, now)
		q.Move("no", []string{"P"}, func(string, *state.Pod) bool { return false }, now)
		if q.Pop(now) != nil || q.Counts()[Unschedulable] != 1 {
			t.Fatal("tried though nothing helped")
		}
		q.Move("yes", []string{"P"}, func(string, *state.Pod) bool { return true }, now)
		if end, ok := q.Next(); !ok || end.Before(now.Add(backoff*time.Second)) || end.After(now.Add((backoff+1)*time.Second)) {
			t.Fatalf("attempt %d: backoff ends at %v, expected after %ds", attempt, end.Sub(now), backoff)
		}
		q.Add(pod("b", -1), now)
		expect(t, q, now, "b") // what is active comes before what backs off
		q.Delete("b")
		now = now.Add(time.Hour)
	}
}

func TestErrorsBackOffEvenIfIdle(t *testing.T) {
	q := New(Options{})
	q.Add(pod("a", 0), start)
	q.Retry(expect(t, q, start, "a")[0], start)
	if q.Pop(start) != nil {
		t.Error("tried again at once")
	}
	expect(t, q, start.Add(2*time.Second), "a")
}

func TestTimeout(t *testing.T) {
	q := New(Options{})
	q.Add(pod("a", 0), start)
	q.Park(expect(t, q, start, "a")[0], map[string]bool{"P": true}, false, start)
	q.FlushParked(start.Add(5 * time.Minute))
	if q.Pop(start.Add(5*time.Minute)) != nil {
		t.Error("tried too early")
	}
	q.FlushParked(start.Add(5*time.Minute + time.Second))
	expect(t, q, start.Add(5*time.Minute+time.Second), "a")
}

func TestGate(t *testing.T) {
	gate := "G"
	q := New(Options{Gate: func(*state.Pod) string { return gate }})
	q.Add(pod("a", 0), start)
	if q.Pop(start) != nil || q.Counts()[Gated] != 1 {
		t.Error("decided though gated")
	}
	gate = ""
	q.Update(pod("a", 0), nil, start)
	expect(t, q, start, "a")
}

func TestDeletedWhileTaken(t *testing.T) {
	q := New(Options{})
	q.Add(pod("a", 0), start)
	item := expect(t, q, start, "a")[0]
	q.Delete("a")
	q.Park(item, map[string]bool{"P": true}, false, start)
	q.Retry(item, start)
	if q.Has("a") || len(q.Causes()) != 0 {
		t.Error("a deleted pod came back")
	}
}

// Whatever happens, each pod that was added and not deleted is in one queue or
// taken, and those that are let go are all decided in the end.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(50) {
		g := rand.New(rand.NewPCG(seed, 3))
		q := New(Options{})
		now := start
		known, taken := map[string]bool{}, map[string]*Item{}
		for step := range 400 {
			now = now.Add(time.Duration(g.IntN(3000)-500) * time.Millisecond) // clocks jump back, too
			name := fmt.Sprint(g.IntN(30))
			switch g.IntN(8) {
			case 0, 1:
				q.Add(pod(name, int32(g.IntN(3))), now)
				known[name] = true
			case 2:
				q.Delete(types.UID(name))
				delete(known, name)
				delete(taken, name)
			case 3, 4:
				if item := q.Pop(now); item != nil {
					if taken[item.Pod.Obj.Name] != nil {
						t.Fatalf("seed %d, step %d: taken twice", seed, step)
					}
					taken[item.Pod.Obj.Name] = item
				}
			case 5:
				for name, item := range taken {
					q.Park(item, map[string]bool{fmt.Sprint(g.IntN(2)): true}, g.IntN(4) == 0, now)
					delete(taken, name)
					break
				}
			case 6:
				for name, item := range taken {
					q.Retry(item, now)
					delete(taken, name)
					break
				}
			case 7:
				q.Move("e", []string{fmt.Sprint(g.IntN(2))}, func(string, *state.Pod) bool { return g.IntN(2) == 0 }, now)
			}
			waiting := 0
			for _, n := range q.Counts() {
				waiting += n
			}
			if waiting+len(taken) != len(known) {
				t.Fatalf("seed %d, step %d: %d wait, %d are taken, of %d", seed, step, waiting, len(taken), len(known))
			}
		}
	}
}

// A clock that is set back keeps nobody waiting until it is that late again.
func TestClockSetBack(t *testing.T) {
	q := New(Options{InitialBackoff: time.Second, MaxBackoff: 10 * time.Second})
	var early []*Item
	for i := range 3 {
		q.Add(pod(fmt.Sprint(i), 0), start)
	}
	for range 3 {
		early = append(early, q.Pop(start))
	}
	q.Retry(early[0], start)
	q.Park(early[1], map[string]bool{"X": true}, true, start)
	q.Park(early[2], map[string]bool{"X": true}, false, start)
	before := start.Add(-time.Hour)
	q.Flush(before)
	if got := q.Pop(before); got != early[1] { // nothing better to do
		t.Fatalf("took %v", got)
	}
	if got := q.Pop(before); got != nil {
		t.Fatalf("took %v", got)
	}
	if got := q.Pop(before.Add(3 * time.Second)); got != early[0] {
		t.Errorf("took %v: the pod waits for the old time", got)
	}
	q.FlushParked(before.Add(parkedAtMost + time.Second))
	if got := q.Pop(before.Add(parkedAtMost + time.Second)); got != early[2] {
		t.Errorf("took %v: the parked pod waits for the old time", got)
	}
}
