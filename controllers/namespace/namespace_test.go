package namespace

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

func TestConditions(t *testing.T) {
	widgets := schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "widgets"}
	for name, c := range map[string]struct {
		left  remains
		wrong problems
		want  map[corev1.NamespaceConditionType]string // those that are true
	}{
		"empty": {},
		"held": {
			left: remains{
				resources:  map[schema.GroupVersionResource]int{widgets: 2, pods: 1},
				finalizers: map[string]int{"example.org/b": 1, "example.org/a": 2},
			},
			want: map[corev1.NamespaceConditionType]string{
				corev1.NamespaceContentRemaining:    "Some resources are remaining: pods. has 1 resource instances, widgets.example.org has 2 resource instances",
				corev1.NamespaceFinalizersRemaining: "Some content in the namespace has finalizers remaining: example.org/a in 2 resource instances, example.org/b in 1 resource instances",
			},
		},
		"failures": {
			wrong: problems{
				discovery: &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "g", Version: "v1"}: errors.New("down")}},
				versions:  errors.New("a/b/c"), content: []error{errors.New("two"), errors.New("one")},
			},
			want: map[corev1.NamespaceConditionType]string{
				corev1.NamespaceDeletionDiscoveryFailure: "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: g/v1: down",
				corev1.NamespaceDeletionGVParsingFailure: "a/b/c",
				corev1.NamespaceDeletionContentFailure:   "Failed to delete all resource types, 2 remaining: one, two",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			conditions := conditionsOf(&c.left, &c.wrong, metav1.Now())
			if len(conditions) != 5 {
				t.Errorf("%d conditions", len(conditions))
			}
			for _, got := range conditions {
				want, isTrue := c.want[got.Type]
				if (got.Status == corev1.ConditionTrue) != isTrue || isTrue && got.Message != want || got.Reason == "" || got.Message == "" {
					t.Errorf("%+v, want %q", got, want)
				}
			}
		})
	}
}

func TestConditionsChangeOnlyWhenTheySaySomethingNew(t *testing.T) {
	first, second := metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(2, 0))
	held := &remains{finalizers: map[string]int{"x": 1}}
	more := &remains{finalizers: map[string]int{"x": 2}}
	status := &corev1.NamespaceStatus{}
	if !update(status, conditionsOf(held, &problems{}, first)) {
		t.Error("nothing changed at first")
	}
	if update(status, conditionsOf(held, &problems{}, second)) {
		t.Error("the same was a change")
	}
	if !update(status, conditionsOf(more, &problems{}, second)) || status.Conditions[4].LastTransitionTime != first {
		t.Errorf("%+v", status.Conditions[4])
	}
	if !update(status, conditionsOf(&remains{}, &problems{}, second)) || status.Conditions[4].LastTransitionTime != second || len(status.Conditions) != 5 {
		t.Errorf("%+v", status.Conditions)
	}
}
