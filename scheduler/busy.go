package scheduler

import "time"

// calm is how long no pod has arrived when a burst of them is over.
const calm = 100 * time.Millisecond

// busy tells whether the API has more important work than to be told what became
// of pods: pods are being bound, or made.
func (s *Scheduler) busy() bool {
	if s.binding.Load() > 0 {
		return true
	}
	last := s.arrived.Load()
	return last != nil && s.clock.Since(*last) < calm
}
