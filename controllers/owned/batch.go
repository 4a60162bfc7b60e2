package owned

import (
	"errors"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
)

// parallel is how many writes of one owner are under way at a time: enough to fill
// the store's commits, and few enough to leave others their share of the requests
// that a server takes at the same time.
const parallel = 100

// SlowStart calls work for 0 to count-1, in batches that double from first while
// all of a batch succeed, so that what fails for all fails for few. A batch runs
// at the same time. It returns how many calls it made and the errors of the batch
// that ended it.
func SlowStart(first, count int, work func(i int) error) (called int, err error) {
	for size := min(first, count); size > 0; size = min(2*size, count-called) {
		if err = Together(size, func(i int) error { return work(called + i) }); err != nil {
			return called + size, err
		}
		called += size
	}
	return called, nil
}

// Together calls work for 0 to count-1 at the same time and joins the errors.
func Together(count int, work func(i int) error) error {
	errs := make([]error, count)
	var (
		working sync.WaitGroup
		next    atomic.Int64
	)
	for range min(parallel, count) {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				errs[i] = work(int(i))
			}
		})
	}
	working.Wait()
	return distinct(errs)
}

// distinct joins errors that say different things: five hundred pods that fail
// for one reason are one reason.
func distinct(errs []error) error {
	seen := map[string]bool{}
	var kept []error
	for _, err := range errs {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			kept = append(kept, err)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return errors.Join(kept...)
}

// A Pace remembers of owners that have more to create than one sync may how many
// creates of the last sync came through: the next need not start slowly again.
type Pace struct{ last Notes[int] }

// First is the size of an owner's first batch.
func (p *Pace) First(owner cache.ObjectName) int { return max(1, p.last.Get(owner)) }

// Note is told after each sync what was called, whether it failed, and whether
// there is more to create.
func (p *Pace) Note(owner cache.ObjectName, called int, err error, more bool) {
	if err != nil || !more {
		p.last.Drop(owner)
		return
	}
	p.last.Put(owner, called)
}

// Forget is for an owner that is gone, or needs no more.
func (p *Pace) Forget(owner cache.ObjectName) { p.last.Drop(owner) }
