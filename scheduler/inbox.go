package scheduler

import "sync"

// An inbox holds what informers told and the state doesn't have yet. Whoever takes
// the scheduler's lock takes all of it over first. Informers that wait for the lock
// themselves would get it once between two decisions, and the state would fall far
// behind where decisions take long.
type inbox struct {
	mu   sync.Mutex
	news []func()
}

func (i *inbox) put(news func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.news = append(i.news, news)
}

func (i *inbox) take() []func() {
	i.mu.Lock()
	defer i.mu.Unlock()
	news := i.news
	i.news = nil
	return news
}

// lock takes the lock, with a state that has all that was told.
func (s *Scheduler) lock() {
	s.mu.Lock()
	for _, news := range s.inbox.take() {
		news()
	}
}
