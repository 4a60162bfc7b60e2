package resourcequota

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apiserver/pkg/quota/v1/generic"
)

func limits(amounts map[corev1.ResourceName]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, amount := range amounts {
		list[name] = resource.MustParse(amount)
	}
	return list
}

func TestCounts(t *testing.T) {
	q := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: limits(map[corev1.ResourceName]string{
		"requests.cpu": "1", "pods": "1", "count/pods": "1", "secrets": "1", "count/configmaps": "1", "count/widgets.example.org": "1",
	})}}
	var got []string
	for _, r := range counts(q) {
		got = append(got, r.String())
	}
	if slices.Sort(got); fmt.Sprint(got) != "[configmaps secrets widgets.example.org]" {
		t.Errorf("names of %v are watched", got)
	}
}

// What somebody else counts stays as it is said, and what isn't limited any more
// isn't said.
func TestReckonKeepsOthers(t *testing.T) {
	q := &corev1.ResourceQuota{
		Spec:   corev1.ResourceQuotaSpec{Hard: limits(map[corev1.ResourceName]string{"example.org/things": "5", "pods": "2"})},
		Status: corev1.ResourceQuotaStatus{Used: limits(map[corev1.ResourceName]string{"example.org/things": "3", "secrets": "7"})},
	}
	status, err := reckon(q, generic.NewRegistry(nil))
	if err != nil {
		t.Fatal(err)
	}
	things := status.Used["example.org/things"]
	if len(status.Used) != 1 || things.Value() != 3 || len(status.Hard) != 2 {
		t.Errorf("%+v", status)
	}
}
