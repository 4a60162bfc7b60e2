package claim

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestOperations(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	pass := func(seconds int) { clock.SetTime(clock.Now().Add(time.Duration(seconds) * time.Second)) }
	o := NewOperations(clock)
	if _, _, ran := o.Ended("a"); ran {
		t.Error("ran without having begun")
	}
	o.Begin("a", Operation{Plugin: "p", Name: "attach"})
	pass(2)
	o.Begin("a", Operation{Plugin: "q", Name: "detach"})
	if op, runs := o.Running("a"); op.Plugin != "p" || !runs {
		t.Errorf("%+v runs: %v", op, runs)
	}
	pass(3)
	if op, took, ran := o.Ended("a"); op.Name != "attach" || took != 5*time.Second || !ran {
		t.Errorf("%+v ended after %v, %v", op, took, ran)
	}
	if _, runs := o.Running("a"); runs {
		t.Error("runs after its end")
	}
}
