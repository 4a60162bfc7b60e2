package devicetaint

import (
	"testing"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestStays(t *testing.T) {
	added := time.Unix(1000, 0)
	taint := &resourceapi.DeviceTaint{Key: "k", Value: "v", Effect: resourceapi.DeviceTaintEffectNoExecute, TimeAdded: &metav1.Time{Time: added}}
	tolerates := func(effect resourceapi.DeviceTaintEffect, value string, seconds *int64) resourceapi.DeviceToleration {
		return resourceapi.DeviceToleration{Key: "k", Operator: resourceapi.DeviceTolerationOpEqual, Value: value, Effect: effect, TolerationSeconds: seconds}
	}
	const evicts = resourceapi.DeviceTaintEffectNoExecute
	for name, test := range map[string]struct {
		tolerations []resourceapi.DeviceToleration
		want        time.Duration
		forever     bool
	}{
		"nothing tolerates it": {},
		"another value":        {tolerations: []resourceapi.DeviceToleration{tolerates(evicts, "other", nil)}},
		"another effect":       {tolerations: []resourceapi.DeviceToleration{tolerates(resourceapi.DeviceTaintEffectNoSchedule, "v", nil)}},
		"for ever":             {tolerations: []resourceapi.DeviceToleration{tolerates(evicts, "v", ptr.To(int64(5))), tolerates(evicts, "v", nil)}, forever: true},
		"the shortest time": {
			tolerations: []resourceapi.DeviceToleration{tolerates(evicts, "v", ptr.To(int64(5))), tolerates(evicts, "v", ptr.To(int64(3)))}, want: 3 * time.Second,
		},
		"less than nothing": {tolerations: []resourceapi.DeviceToleration{tolerates(evicts, "v", ptr.To(int64(-5)))}},
	} {
		until, goes := stays(taint, test.tolerations)
		if goes == test.forever || goes && !until.Equal(added.Add(test.want)) {
			t.Errorf("%s: until %v, %t", name, until.Sub(added), goes)
		}
	}
}

func TestCurrent(t *testing.T) {
	slice := func(name string, generation int64) *resourceapi.ResourceSlice {
		return &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourceapi.ResourceSliceSpec{Pool: resourceapi.ResourcePool{Generation: generation}}}
	}
	got := current([]*resourceapi.ResourceSlice{slice("a", 1), slice("b", 2), slice("c", 1), slice("d", 2)})
	if len(got) != 2 || got[0].Name != "b" || got[1].Name != "d" {
		t.Errorf("current are %v", got)
	}
}
