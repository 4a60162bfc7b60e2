package endpoints

import (
	"testing"
	"time"

	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestPace(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	p, large, small := &pace{clock: clock}, cache.ObjectName{Name: "large"}, cache.ObjectName{Name: "small"}
	p.worked(large, 80*time.Millisecond)
	p.worked(small, time.Millisecond)
	if got := p.wait(large); got != 320*time.Millisecond {
		t.Errorf("a large Service rests for %v", got)
	}
	if got := p.wait(small); got != 0 {
		t.Errorf("a small Service rests for %v", got)
	}
	clock.SetTime(clock.Now().Add(time.Second))
	if got := p.wait(large); got != 0 {
		t.Errorf("after a second it still rests for %v", got)
	}
	p.worked(large, time.Minute)
	if got := p.wait(large); got != longest {
		t.Errorf("it rests for %v", got)
	}
	p.worked(large, 0)
	if len(p.rests) != 0 {
		t.Errorf("remembers %v", p.rests)
	}
}
