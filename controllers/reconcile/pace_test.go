package reconcile

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestPace(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	p := NewPace[string](clock)
	p.worked("large", 80*time.Millisecond)
	p.worked("small", time.Millisecond)
	if got := p.Wait("large"); got != 320*time.Millisecond {
		t.Errorf("the large one rests for %v", got)
	}
	if got := p.Wait("small"); got != 0 {
		t.Errorf("the small one rests for %v", got)
	}
	clock.SetTime(clock.Now().Add(time.Second))
	if got := p.Wait("large"); got != 0 {
		t.Errorf("after a second it still rests for %v", got)
	}
	p.worked("large", time.Minute)
	if got := p.Wait("large"); got != longestRest {
		t.Errorf("it rests for %v", got)
	}
	p.worked("large", 0)
	if len(p.rests) != 0 {
		t.Errorf("remembers %v", p.rests)
	}
}
