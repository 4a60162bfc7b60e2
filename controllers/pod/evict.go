package pod

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/controllers/reconcile"
)

// Evict says in a pod's status why it is taken away, and deletes it; false: it was
// gone before.
func Evict(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, reason, message string, now time.Time) (bool, error) {
	if err := PatchStatus(ctx, client, pod, "", Disrupted(pod, reason, message, metav1.NewTime(now))); err != nil {
		return false, reconcile.IgnoreNotFound(err)
	}
	err := client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	return err == nil, reconcile.IgnoreNotFound(err)
}

// Sentences are pods that will be evicted unless something changes before their
// time has come. The zero value is ready.
type Sentences struct {
	mu  sync.Mutex
	all map[types.NamespacedName]sentence
}

type sentence struct {
	pod   types.UID
	since time.Time
}

// Pass sentences a pod, unless it is sentenced already, and returns since when it
// is.
func (s *Sentences) Pass(pod *corev1.Pod, now time.Time) time.Time {
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.all[name]; ok && known.pod == pod.UID {
		return known.since
	}
	if s.all == nil {
		s.all = map[types.NamespacedName]sentence{}
	}
	s.all[name] = sentence{pod.UID, now}
	return now
}

// Lift forgets a sentence; it returns whose it was, or "".
func (s *Sentences) Lift(name types.NamespacedName) types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.all[name]
	delete(s.all, name)
	return known.pod
}
