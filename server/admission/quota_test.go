package admission_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/server"
	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/storage/storagetest"
)

func quantities(namesAndValues ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(namesAndValues); i += 2 {
		list[corev1.ResourceName(namesAndValues[i])] = resource.MustParse(namesAndValues[i+1])
	}
	return list
}

// insist writes again when the other server counted first too many times.
func insist(write func() error) error {
	for {
		if err := write(); !apierrors.IsConflict(err) {
			return err
		}
	}
}

// TestQuota fills a quota through two servers at the same time.
func TestQuota(t *testing.T) {
	endpoint := storagetest.StartPostgres(t, storagetest.PostgresOptions{}).Store()
	options := server.Options{DatastoreEndpoint: endpoint, Admission: admission.Options{Enable: []string{"ResourceQuota"}}}
	servers := []*cluster{start(t, options), start(t, options)}
	c := servers[0]
	namespace := c.namespace(t, "full", nil)
	hard := quantities("count/configmaps", "20", "pods", "12", "requests.cpu", "1")
	quota, err := c.CoreV1().ResourceQuotas(namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The controller's part. Both servers know the quota once they have seen it
	// used up, and then not.
	for _, used := range []corev1.ResourceList{hard, quantities("count/configmaps", "0", "pods", "0", "requests.cpu", "0")} {
		quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: used}
		if quota, err = c.CoreV1().ResourceQuotas(namespace).UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, c := range servers {
			until(t, "what is used is known", func() bool {
				_, err := c.configMap(t, namespace, "early", metav1.DryRunAll)
				return (err != nil) == (used.Name("count/configmaps", "").Sign() > 0)
			})
		}
	}

	var made, over, pods atomic.Int64
	var writers sync.WaitGroup
	write := func(c *cluster, writer int) {
		for i := range 6 {
			name := fmt.Sprintf("%d-%d", writer, i)
			err := insist(func() error {
				_, err := c.configMap(t, namespace, name)
				return err
			})
			switch {
			case err == nil:
				made.Add(1)
			case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=20, limited: count/configmaps=20"):
				over.Add(1)
			default:
				t.Errorf("configmap %s: %v", name, err)
			}
			err = insist(func() error {
				_, err := c.CoreV1().Pods(namespace).Create(t.Context(), pod(name, func(s *corev1.PodSpec) {
					s.Containers[0].Resources.Requests = quantities("cpu", "150m")
				}), metav1.CreateOptions{})
				return err
			})
			if err == nil {
				pods.Add(1)
			} else if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "requests.cpu=150m") {
				t.Errorf("pod %s: %v", name, err)
			}
		}
	}
	for i := range 10 {
		writers.Go(func() { write(servers[i%2], i) })
	}
	writers.Wait()
	if made.Load() != 20 || over.Load() != 40 || pods.Load() != 6 {
		t.Errorf("%d configmaps were made and %d refused, want 20 and 40; %d pods were made, want 6", made.Load(), over.Load(), pods.Load())
	}
	quota, err = c.CoreV1().ResourceQuotas(namespace).Get(t.Context(), "few", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range quantities("count/configmaps", "20", "pods", "6", "requests.cpu", "900m") {
		if got := quota.Status.Used[name]; got.Cmp(want) != 0 {
			t.Errorf("the quota says that %s %s are used, want %s", got.String(), name, want.String())
		}
	}
}
