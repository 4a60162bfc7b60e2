package main

import "testing"

func TestGrowth(t *testing.T) {
	const mb = 1 << 20
	for _, test := range []struct {
		name            string
		live, allocated uint64
		percent         int
	}{
		{"nothing collected yet", 0, 100 * mb, 100},
		{"idle", 60 * mb, mb, 100},
		{"as much as is live", 60 * mb, 60 * mb, 100},
		{"in steps", 60 * mb, 100 * mb, 150},
		{"busy", 80 * mb, 200 * mb, 250},
		{"small and busy", 10 * mb, 300 * mb, 400},
		{"busier than there is room for", 100 * mb, 900 * mb, 250},
		{"large", 500 * mb, 900 * mb, 100},
	} {
		if got := growth(test.live, test.allocated); got != test.percent {
			t.Errorf("%s: %d %%, want %d %%", test.name, got, test.percent)
		}
	}
}
