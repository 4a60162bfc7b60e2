package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// A verdict is what the pod failure policy says of a failed pod
// (https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy).
type verdict struct {
	action  batchv1.PodFailurePolicyAction // empty if no rule matches
	counts  bool
	message string // why the Job fails, for FailJob
}

func judge(policy *batchv1.PodFailurePolicy, p *corev1.Pod) verdict {
	if policy == nil {
		return verdict{counts: true}
	}
	for i, rule := range policy.Rules {
		var what string
		if rule.OnExitCodes != nil {
			status := matchExitCodes(p, rule.OnExitCodes)
			if status == nil {
				continue
			}
			what = fmt.Sprintf("Container %s for pod %s/%s failed with exit code %v", status.Name, p.Namespace, p.Name, status.State.Terminated.ExitCode)
		} else {
			condition := matchConditions(p, rule.OnPodConditions)
			if condition == nil {
				continue
			}
			what = fmt.Sprintf("Pod %s/%s has condition %v", p.Namespace, p.Name, condition.Type)
		}
		v := verdict{action: rule.Action, counts: rule.Action != batchv1.PodFailurePolicyActionIgnore}
		if rule.Action == batchv1.PodFailurePolicyActionFailJob {
			v.message = fmt.Sprintf("%s matching %v rule at index %d", what, rule.Action, i)
		}
		return v
	}
	return verdict{counts: true}
}

func matchExitCodes(p *corev1.Pod, requirement *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			ended := list[i].State.Terminated
			if ended == nil || ended.ExitCode == 0 || requirement.ContainerName != nil && *requirement.ContainerName != list[i].Name {
				continue
			}
			listed := slices.Contains(requirement.Values, ended.ExitCode)
			if listed && requirement.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn ||
				!listed && requirement.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn {
				return &list[i]
			}
		}
	}
	return nil
}

func matchConditions(p *corev1.Pod, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) *corev1.PodCondition {
	for i, c := range p.Status.Conditions {
		if slices.ContainsFunc(patterns, func(pattern batchv1.PodFailurePolicyOnPodConditionsPattern) bool {
			return pattern.Type == c.Type && pattern.Status == c.Status
		}) {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// succeedsEarly is whether the success policy declares a Job done, and by which
// rule (https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy).
func succeedsEarly(policy *batchv1.SuccessPolicy, completions int, succeeded indexes) (message string, met bool) {
	if policy == nil || len(succeeded) == 0 {
		return "", false
	}
	for i, rule := range policy.Rules {
		done, needed := succeeded.count(), completions
		if rule.SucceededIndexes != nil {
			required := parse(*rule.SucceededIndexes, completions)
			if len(required) == 0 {
				continue
			}
			done, needed = succeeded.common(required), required.count()
		} else if rule.SucceededCount == nil {
			continue
		}
		if rule.SucceededCount != nil {
			needed = min(needed, int(*rule.SucceededCount))
		}
		if done >= needed {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}
