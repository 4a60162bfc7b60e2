package job

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/controllers/owned"
	"github.com/howdah/howdah/controllers/pod"
)

const (
	indexVariable = "JOB_COMPLETION_INDEX"
	// maxGenerateName leaves room for the five characters that the server adds.
	maxGenerateName = 63 - 5
)

// create makes the pods of a plan, and notes how many run then.
func (x *controller) create(ctx context.Context, l *look, p plan) error {
	var made atomic.Int32
	_, err := owned.SlowStart(1, p.create, func(i int) error {
		index := noIndex
		if len(p.next) > 0 {
			index = p.next[i]
		}
		err := x.pods.Create(ctx, l.job, l.newPod(index))
		observeCreation(l, err)
		if err == nil {
			made.Add(1)
		}
		return err
	})
	l.running += made.Load()
	return err
}

// newPod is a pod of the Job, for an index if it has any.
func (l *look) newPod(index int) *corev1.Pod {
	job := l.job
	p := pod.New(&job.Spec.Template, job.Name, metav1.NewControllerRef(job, jobKind))
	if !tracked(p) {
		p.Finalizers = append(p.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if index == noIndex {
		return p
	}
	text := strconv.Itoa(index)
	put(&p.Annotations, batchv1.JobCompletionIndexAnnotation, text)
	put(&p.Labels, batchv1.JobCompletionIndexAnnotation, text)
	suffix := "-" + text + "-"
	p.GenerateName = job.Name[:min(len(job.Name), maxGenerateName-len(suffix))] + suffix
	p.Spec.Hostname = fmt.Sprintf("%s-%d", job.Name, index)
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if !slices.ContainsFunc(list[i].Env, func(e corev1.EnvVar) bool { return e.Name == indexVariable }) {
				list[i].Env = append(list[i].Env, corev1.EnvVar{Name: indexVariable, ValueFrom: &corev1.EnvVarSource{
					FieldRef: &corev1.ObjectFieldSelector{FieldPath: fmt.Sprintf("metadata.labels['%s']", batchv1.JobCompletionIndexAnnotation)},
				}})
			}
		}
	}
	if job.Spec.BackoffLimitPerIndex != nil {
		l.countFailures(p, l.delayed[index])
	}
	return p
}

// countFailures notes how often the index failed: what the pod before had noted,
// and that pod itself.
func (l *look) countFailures(p, before *corev1.Pod) {
	var counted, ignored int32
	if before != nil {
		counted, ignored = number(before, batchv1.JobIndexFailureCountAnnotation), number(before, batchv1.JobIndexIgnoredFailureCountAnnotation)
		if judge(l.job.Spec.PodFailurePolicy, before).counts {
			counted++
		} else {
			ignored++
		}
	}
	put(&p.Annotations, batchv1.JobIndexFailureCountAnnotation, strconv.Itoa(int(counted)))
	if ignored > 0 {
		put(&p.Annotations, batchv1.JobIndexIgnoredFailureCountAnnotation, strconv.Itoa(int(ignored)))
	}
}

// remove deletes pods and notes what is left. release is to let go of them
// first, for pods that are not to count.
func (x *controller) remove(ctx context.Context, l *look, pods []*corev1.Pod, release bool) error {
	var removed, ready atomic.Int32
	err := owned.Together(len(pods), func(i int) error {
		if release {
			if err := x.removeFinalizer(ctx, l.job, pods[i]); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("removing completion finalizer: %w", err)
			}
		}
		if err := x.pods.Delete(ctx, l.job, pods[i]); err != nil {
			return err
		}
		removed.Add(1)
		if pod.Ready(pods[i]) {
			ready.Add(1)
		}
		return nil
	})
	l.running -= removed.Load()
	l.terminating += removed.Load()
	l.ready -= ready.Load()
	return err
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
