package job

import (
	"fmt"
	"slices"
	"testing"
)

func TestIndexes(t *testing.T) {
	for _, test := range []struct {
		text  string
		count int
		back  string
	}{
		{"", 0, ""},
		{"0", 1, "0"},
		{"1,3-5,7", 5, "1,3-5,7"},
		{"3,4", 2, "3,4"},
		{"3-4", 2, "3,4"},
		{"5-7,1-3,4", 7, "1-7"},
		{"8-20", 2, "8,9"},
		{"10", 0, ""},
		{"x,1,-3,4-x,2-", 1, "1"},
		{"5-3", 0, ""},
	} {
		x := parse(test.text, 10)
		if x.count() != test.count || x.String() != test.back {
			t.Errorf("%q: %d in %q, not %d in %q", test.text, x.count(), x, test.count, test.back)
		}
	}
	x := parse("1,3-5", 10)
	for i := range 10 {
		if x.has(i) != slices.Contains([]int{1, 3, 4, 5}, i) {
			t.Errorf("has %d is %v", i, x.has(i))
		}
	}
	for count, want := range map[int]string{0: "[]", 1: "[0]", 3: "[0 2 6]", 99: "[0 2 6 7 8 9]"} {
		if got := fmt.Sprint(x.missing(count, 10)); got != want {
			t.Errorf("the first %d missing are %s, not %s", count, got, want)
		}
	}
	if got := x.missing(5, 4); fmt.Sprint(got) != "[0 2]" {
		t.Errorf("missing of fewer completions: %v", got)
	}
	if n := x.common(parse("0-3,5-9", 10)); n != 3 {
		t.Errorf("%d in common", n)
	}
}

func FuzzIndexes(f *testing.F) {
	f.Add("1,3-5,7", 10)
	f.Add("0-4294967296", 3)
	f.Fuzz(func(t *testing.T, text string, completions int) {
		completions = max(0, min(completions, 1000))
		x := parse(text, completions)
		if again := parse(x.String(), completions); !slices.Equal(again, x) {
			t.Fatalf("%q: %v became %v", text, x, again)
		}
		has := 0
		for i := range completions {
			if x.has(i) {
				has++
			}
		}
		if free := x.missing(completions, completions); has != x.count() || has+len(free) != completions {
			t.Fatalf("%q of %d: has %d, counts %d, misses %d", text, completions, has, x.count(), len(free))
		}
	})
}
