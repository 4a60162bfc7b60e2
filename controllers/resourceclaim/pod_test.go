package resourceclaim

import (
	"strings"
	"testing"
)

func TestBase(t *testing.T) {
	long := strings.Repeat("p", 100)
	for _, test := range []struct{ pod, claim, want string }{
		{"web", "gpu", "web-gpu-"},
		{strings.Repeat("p", 51), "gpu", strings.Repeat("p", 51) + "-gpu-"},
		{long, "gpu", strings.Repeat("p", 54) + "-g"},
		{"web", long, "w-" + strings.Repeat("p", 54)},
		{long, long, strings.Repeat("p", 28) + "-" + strings.Repeat("p", 28)},
	} {
		if got := base(test.pod, test.claim); got != test.want || len(got) > 58 {
			t.Errorf("%s and %s: %q, want %q", test.pod, test.claim, got, test.want)
		}
	}
}
