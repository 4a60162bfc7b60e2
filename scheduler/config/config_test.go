package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/howdah/howdah/scheduler"
	"github.com/howdah/howdah/scheduler/placement"
)

// Without a file the profile is the one that placement has by default.
func TestDefault(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := Profiles(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []scheduler.Profile{scheduler.NewProfile()}; !reflect.DeepEqual(profiles, want) {
		t.Errorf("\n%+v, expected\n%+v", profiles, want)
	}
	if shown, err := External(c); err != nil || shown.Kind != "KubeSchedulerConfiguration" || len(shown.Profiles) != 1 {
		t.Errorf("%+v %v", shown, err)
	}
}

func TestParse(t *testing.T) {
	const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	for name, test := range map[string]struct {
		text, err string
		check     func(scheduler.Profile) bool
	}{
		"weights": {
			text: "profiles:\n- schedulerName: a\n  plugins:\n    score:\n      disabled: [{name: ImageLocality}]\n      enabled: [{name: TaintToleration, weight: 7}]\n",
			check: func(p scheduler.Profile) bool {
				return p.Placement.Scores[0] == placement.Weight{Name: placement.TaintToleration, Weight: 7} && len(p.Placement.Scores) == 8
			},
		},
		"arguments": {
			text: "profiles:\n- schedulerName: a\n  pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      scoringStrategy:\n        type: MostAllocated\n        resources: [{name: cpu, weight: 3}]\n",
			check: func(p scheduler.Profile) bool {
				return p.Placement.Fit.Type == "MostAllocated" && p.Placement.Fit.Resources[0] == placement.Weight{Name: "cpu", Weight: 3}
			},
		},
		"no preemption": {
			text:  "profiles:\n- schedulerName: a\n  plugins:\n    multiPoint:\n      disabled: [{name: DefaultPreemption}]\n",
			check: func(p scheduler.Profile) bool { return !p.Preempts && p.Gates },
		},
		"percentage":     {text: "percentageOfNodesToScore: 30\n", check: func(p scheduler.Profile) bool { return p.Placement.PercentageOfNodesToScore == 30 }},
		"unknown plugin": {text: "profiles:\n- schedulerName: a\n  plugins:\n    filter:\n      enabled: [{name: Mine}]\n", err: "out-of-tree plugins can't be loaded"},
		"own binder":     {text: "profiles:\n- schedulerName: a\n  plugins:\n    bind:\n      disabled: [{name: '*'}]\n", err: "DefaultBinder has to be enabled"},
		"unknown field":  {text: "profilez: []\n", err: "profilez"},
		"invalid":        {text: "percentageOfNodesToScore: 300\n", err: "percentageOfNodesToScore"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse([]byte(head + test.text))
			var profiles []scheduler.Profile
			if err == nil {
				profiles, err = Profiles(c)
			}
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, expected %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !test.check(profiles[0]) {
				t.Errorf("%+v", profiles[0])
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\npercentageOfNodesToScore: 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Parse(data); err == nil {
			_, _ = Profiles(c)
		}
	})
}
