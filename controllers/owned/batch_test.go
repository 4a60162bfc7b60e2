package owned

import (
	"errors"
	"sync"
	"testing"
)

func TestSlowStart(t *testing.T) {
	for _, test := range []struct{ count, failAt, called int }{
		{0, -1, 0},
		{1, -1, 1},
		{1, 0, 1},
		{10, -1, 10},
		{500, -1, 500},
		{500, 0, 1},
		{500, 2, 3},
		{500, 5, 7},
		{500, 499, 500},
	} {
		var mu sync.Mutex
		seen := map[int]bool{}
		called, err := SlowStart(test.count, func(i int) error {
			mu.Lock()
			defer mu.Unlock()
			if seen[i] {
				t.Errorf("%v: %d twice", test, i)
			}
			seen[i] = true
			if test.failAt >= 0 && i >= test.failAt {
				return errors.New("on purpose")
			}
			return nil
		})
		if called != test.called || len(seen) != test.called {
			t.Errorf("%v: called %d, saw %d", test, called, len(seen))
		}
		if (err != nil) != (test.failAt >= 0) {
			t.Errorf("%v: %v", test, err)
		}
		if err != nil && err.Error() != "on purpose" {
			t.Errorf("%v: says one reason more than once: %v", test, err)
		}
	}
}
