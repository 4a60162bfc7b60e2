package scheduler

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/scheduler/record"
)

const statusWriters = 4

// A statusWriter writes to pods why they are not placed. Of what is still to be
// written for a pod only the last is. As long as there is more important work it
// waits, but for nominations, by which a next leader knows what is under way.
type statusWriter struct {
	client   kubernetes.Interface
	log      *slog.Logger
	busy     func() bool
	patience time.Duration

	mu      sync.Mutex
	pending map[types.UID]pendingStatus
	urgent  []types.UID                 // in the order in which they are written
	others  []types.UID                 // after them
	writing map[types.UID]chan struct{} // closed when it is over
	wake    chan struct{}
}

type pendingStatus struct {
	pod        *corev1.Pod
	reason     string // "": the condition stays
	message    string
	nominated  string
	renominate bool
	since      time.Time // waits for other work
}

func (p *pendingStatus) renominates() bool {
	return p.renominate && p.pod.Status.NominatedNodeName != p.nominated
}

func newStatusWriter(client kubernetes.Interface, log *slog.Logger, busy func() bool) *statusWriter {
	return &statusWriter{client: client, log: log, busy: busy, patience: record.Patience, pending: map[types.UID]pendingStatus{}, writing: map[types.UID]chan struct{}{}, wake: make(chan struct{}, 1)}
}

// set says why a pod is not placed, and to which node it is nominated if that
// changes.
func (w *statusWriter) set(pod *corev1.Pod, reason, message, nominated string, renominate bool) {
	w.put(pendingStatus{pod: pod, reason: reason, message: message, nominated: nominated, renominate: renominate})
}

// settle drops what is to be written for a pod that has a node now, and returns
// when nothing of that is under way.
func (w *statusWriter) settle(ctx context.Context, uid types.UID) {
	w.mu.Lock()
	delete(w.pending, uid)
	over := w.writing[uid]
	w.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
}

// nominate writes at once to which node a pod is about to be bound; it has to be
// settled.
func (w *statusWriter) nominate(ctx context.Context, pod *corev1.Pod, node string) {
	if pod.Status.NominatedNodeName == node { // as far as one knows
		pod = pod.DeepCopy()
		pod.Status.NominatedNodeName = ""
	}
	w.write(ctx, pendingStatus{pod: pod, nominated: node, renominate: true})
}

// clearNomination takes back a pod's nomination.
func (w *statusWriter) clearNomination(pod *corev1.Pod) {
	w.put(pendingStatus{pod: pod, renominate: true})
}

// forget drops what is to be written for a pod.
func (w *statusWriter) forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pending, uid)
}

func (w *statusWriter) put(p pendingStatus) {
	if p.patch(time.Time{}) == nil {
		return
	}
	w.mu.Lock()
	before, ok := w.pending[p.pod.UID]
	if p.since = before.since; !ok {
		p.since = time.Now()
	}
	w.pending[p.pod.UID] = p
	if !ok || p.renominates() && !before.renominates() {
		w.enqueue(&p)
	}
	w.mu.Unlock()
	w.signal()
}

// enqueue may have a pod in both orders; who finds nothing pending goes on.
func (w *statusWriter) enqueue(p *pendingStatus) {
	if p.renominates() {
		w.urgent = append(w.urgent, p.pod.UID)
	} else {
		w.others = append(w.others, p.pod.UID)
	}
}

// signal wakes a writer, or the next one that would sleep.
func (w *statusWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *statusWriter) start(ctx context.Context, running *sync.WaitGroup) {
	for range statusWriters {
		running.Go(func() {
			for {
				p, wait := w.next()
				if p != nil {
					w.write(ctx, *p)
					w.written(p.pod.UID)
					continue
				}
				select {
				case <-ctx.Done():
					return
				case <-w.wake:
				case <-wait:
				}
			}
		})
	}
}

// next is what to write now, or else when to look again, beside when woken.
func (w *statusWriter) next() (*pendingStatus, <-chan time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.urgent)+len(w.others) > 0 {
		order := &w.urgent
		if len(*order) == 0 {
			order = &w.others
		}
		uid := (*order)[0]
		p, ok := w.pending[uid]
		if ok && order == &w.others && w.busy() && time.Since(p.since) < w.patience {
			return nil, time.After(calm)
		}
		*order = (*order)[1:]
		// What is being written already is followed up when that is over.
		if ok && w.writing[uid] == nil {
			delete(w.pending, uid)
			w.writing[uid] = make(chan struct{})
			if len(w.urgent)+len(w.others) > 0 {
				w.signal() // for the other writers
			}
			return &p, nil
		}
	}
	return nil, nil
}

func (w *statusWriter) written(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.writing[uid])
	delete(w.writing, uid)
	if p, ok := w.pending[uid]; ok {
		w.enqueue(&p)
		w.signal()
	}
}

func (w *statusWriter) write(ctx context.Context, p pendingStatus) {
	_, err := w.client.CoreV1().Pods(p.pod.Namespace).Patch(ctx, p.pod.Name, types.StrategicMergePatchType, p.patch(time.Now()), metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		w.log.Debug("why a pod is not placed could not be written to it", "pod", p.pod.Namespace+"/"+p.pod.Name, "err", err)
	}
}

// patch is nil when the pod says all that already.
func (p *pendingStatus) patch(now time.Time) []byte {
	status := map[string]any{}
	if p.renominates() {
		status["nominatedNodeName"] = p.nominated
		if p.nominated == "" {
			status["nominatedNodeName"] = nil
		}
	}
	if p.reason != "" {
		condition := corev1.PodCondition{
			Type: corev1.PodScheduled, ObservedGeneration: p.pod.Generation, Status: corev1.ConditionFalse, Reason: p.reason, Message: p.message,
			LastTransitionTime: metav1.NewTime(now),
		}
		same := false
		for _, old := range p.pod.Status.Conditions {
			if old.Type == condition.Type && old.Status == condition.Status {
				condition.LastTransitionTime = old.LastTransitionTime
				same = old.Reason == condition.Reason && old.Message == condition.Message && old.ObservedGeneration == condition.ObservedGeneration
			}
		}
		if !same {
			status["conditions"] = []corev1.PodCondition{condition}
		}
	}
	if len(status) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.pod.UID}, "status": status})
	if err != nil {
		return nil
	}
	return patch
}
