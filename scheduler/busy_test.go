package scheduler

import (
	"testing"
	"time"
)

func TestBursts(t *testing.T) {
	var a arrivals
	now := time.Now()
	if a.burst(now) {
		t.Error("nothing is a burst")
	}
	for range few {
		a.add(now)
		now = now.Add(calm / 2)
	}
	if a.burst(now) {
		t.Error("a few pods are a burst")
	}
	a.add(now)
	if !a.burst(now.Add(calm / 2)) {
		t.Error("many pods are no burst")
	}
	if now = now.Add(calm); a.burst(now) {
		t.Error("a burst goes on after it")
	}
	if a.add(now); a.burst(now) {
		t.Error("a pod after a burst is one")
	}
}
