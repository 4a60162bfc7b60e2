package owned

import (
	"errors"
	"sync"
	"testing"

	"k8s.io/client-go/tools/cache"
)

func TestSlowStart(t *testing.T) {
	for _, test := range []struct{ first, count, failAt, called int }{
		{1, 0, -1, 0},
		{1, 1, -1, 1},
		{1, 1, 0, 1},
		{1, 10, -1, 10},
		{1, 500, -1, 500},
		{1, 500, 0, 1},
		{1, 500, 2, 3},
		{1, 500, 5, 7},
		{1, 500, 499, 500},
		{300, 500, 0, 300},
		{500, 3, -1, 3},
		{500, 0, -1, 0},
	} {
		var mu sync.Mutex
		seen := map[int]bool{}
		called, err := SlowStart(test.first, test.count, func(i int) error {
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

func TestPace(t *testing.T) {
	var p Pace
	a, b := cache.NewObjectName("default", "a"), cache.NewObjectName("default", "b")
	expect := func(owner cache.ObjectName, first int) {
		t.Helper()
		if got := p.First(owner); got != first {
			t.Errorf("%s starts with %d, want %d", owner, got, first)
		}
	}
	expect(a, 1)
	p.Note(a, 500, nil, true)
	expect(a, 500)
	expect(b, 1)
	p.Note(a, 500, errors.New("quota"), true)
	expect(a, 1)
	p.Note(a, 500, nil, true)
	p.Note(a, 20, nil, false)
	expect(a, 1)
	p.Note(b, 500, nil, true)
	p.Forget(b)
	if len(p.last.of) != 0 {
		t.Errorf("remembers %v", p.last.of)
	}
}
