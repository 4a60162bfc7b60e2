package tainteviction

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestTolerance(t *testing.T) {
	taint := func(key string) corev1.Taint { return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute} }
	tolerate := func(key string, seconds ...int64) corev1.Toleration {
		toleration := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
		if len(seconds) > 0 {
			toleration.TolerationSeconds = &seconds[0]
		}
		return toleration
	}
	for name, c := range map[string]struct {
		taints      []corev1.Taint
		tolerations []corev1.Toleration
		stay        time.Duration
		forever     bool
	}{
		"no taint":           {forever: true},
		"not tolerated":      {taints: []corev1.Taint{taint("a")}},
		"tolerated":          {taints: []corev1.Taint{taint("a")}, tolerations: []corev1.Toleration{tolerate("a")}, forever: true},
		"for a while":        {taints: []corev1.Taint{taint("a")}, tolerations: []corev1.Toleration{tolerate("a", 300)}, stay: 5 * time.Minute},
		"for no time":        {taints: []corev1.Taint{taint("a")}, tolerations: []corev1.Toleration{tolerate("a", -1)}},
		"the shortest":       {taints: []corev1.Taint{taint("a"), taint("b")}, tolerations: []corev1.Toleration{tolerate("a", 300), tolerate("b", 60)}, stay: time.Minute},
		"one of two":         {taints: []corev1.Taint{taint("a"), taint("b")}, tolerations: []corev1.Toleration{tolerate("a", 300)}},
		"all, one for while": {taints: []corev1.Taint{taint("a"), taint("b")}, tolerations: []corev1.Toleration{tolerate(""), tolerate("b", 60)}, stay: time.Minute},
	} {
		stay, forever := tolerance(c.taints, c.tolerations)
		if stay != c.stay || forever != c.forever {
			t.Errorf("%s: %v %v, want %v %v", name, stay, forever, c.stay, c.forever)
		}
	}
}
