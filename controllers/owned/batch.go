package owned

import (
	"errors"
	"sync"
	"sync/atomic"
)

// parallel is how many writes of one owner are under way at a time: enough to fill
// the store's commits, and few enough to leave others their share of the requests
// that a server takes at the same time.
const parallel = 100

// SlowStart calls work for 0 to count-1, in batches that double from one while
// all of a batch succeed, so that what fails for all fails for few. A batch runs
// at the same time. It returns how many calls it made and the errors of the batch
// that ended it.
func SlowStart(count int, work func(i int) error) (called int, err error) {
	for size := min(1, count); size > 0; size = min(2*size, count-called) {
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
