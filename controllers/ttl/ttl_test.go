package ttl

import "testing"

func TestSteps(t *testing.T) {
	s := &size{}
	for _, c := range []struct{ nodes, seconds int }{
		{1, 0}, {100, 0}, {101, 15}, {95, 15}, {89, 0}, {501, 30}, {450, 30}, {449, 15}, {2001, 300}, {1800, 300}, {1799, 60}, {10001, 600}, {0, 0},
	} {
		s.changed(c.nodes - s.nodes)
		if got := s.seconds(); got != c.seconds {
			t.Errorf("%d nodes: %d seconds, want %d", c.nodes, got, c.seconds)
		}
	}
}
