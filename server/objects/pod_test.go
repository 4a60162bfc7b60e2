package objects

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core"
)

// realisticPod is about 3.3 KB as protobuf.
func realisticPod() *core.Pod {
	seconds := int64(30)
	container := core.Container{
		Name: "app", Image: "registry.example.com/team/service:v1.2.3",
		Resources: core.ResourceRequirements{
			Requests: core.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
			Limits:   core.ResourceList{"memory": resource.MustParse("256Mi")},
		},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent",
	}
	for i := range 38 {
		container.Env = append(container.Env, core.EnvVar{Name: fmt.Sprintf("SETTING_NUMBER_%d", i), Value: "some value that a program reads at its start"})
	}
	return &core.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-5d4f8c7b9-x7k2p", GenerateName: "web-5d4f8c7b9-", Namespace: "default",
			UID:               "0b5c2a8e-3d4f-4a6b-9c7d-1e2f3a4b5c6d",
			CreationTimestamp: metav1.NewTime(time.Unix(1700000000, 0)),
			Labels:            map[string]string{"app": "web", "pod-template-hash": "5d4f8c7b9", "tier": "frontend"},
			Annotations:       map[string]string{"example.com/checksum": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:tier":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}}}}}`),
			}},
		},
		Spec: core.PodSpec{
			NodeName: "node-17", RestartPolicy: "Always", SchedulerName: "default-scheduler", ServiceAccountName: "default",
			DNSPolicy: "ClusterFirst", TerminationGracePeriodSeconds: &seconds, SecurityContext: &core.PodSecurityContext{},
			Containers: []core.Container{container},
		},
		Status: core.PodStatus{Phase: "Running", PodIPs: []core.PodIP{{IP: "10.1.2.3"}}},
	}
}
