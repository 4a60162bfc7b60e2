// Package extender owns scheduler extenders: services over HTTP that refuse and
// score nodes, choose victims and bind, by the messages of
// k8s.io/kube-scheduler/extender/v1
// (https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/#kubescheduler-config-k8s-io-v1-Extender).
package extender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
)

// maxAnswer bounds what an extender may answer, in bytes.
const maxAnswer = 256 << 20

// Config is one entry of a KubeSchedulerConfiguration's extenders.
type Config struct {
	URLPrefix                                         string
	FilterVerb, PrioritizeVerb, PreemptVerb, BindVerb string
	Weight                                            int64
	Timeout                                           time.Duration // of a request
	TLS                                               rest.TLSClientConfig
	NodeCacheCapable                                  bool     // it knows the nodes: names are enough
	Ignorable                                         bool     // pods are placed without it when it can't be asked
	ManagedResources                                  []string // it is asked about pods that request one of these; empty: about all
}

// An Extender is asked over HTTP.
type Extender struct {
	Config
	client *http.Client
}

// New reads the certificates.
func New(c Config) (*Extender, error) {
	transport, err := rest.TransportFor(&rest.Config{Host: c.URLPrefix, TLSClientConfig: c.TLS})
	if err != nil {
		return nil, fmt.Errorf("extender %s: %w", c.URLPrefix, err)
	}
	return &Extender{Config: c, client: &http.Client{Transport: transport, Timeout: c.Timeout}}, nil
}

// Interested tells whether the extender is to be asked about a pod.
func (e *Extender) Interested(pod *corev1.Pod) bool {
	if len(e.ManagedResources) == 0 {
		return true
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			for _, name := range e.ManagedResources {
				_, requested := containers[i].Resources.Requests[corev1.ResourceName(name)]
				_, limited := containers[i].Resources.Limits[corev1.ResourceName(name)]
				if requested || limited {
					return true
				}
			}
		}
	}
	return false
}

// Refusals are why nodes are refused, by their names.
type Refusals struct {
	Resolvable, Unresolvable map[string]string
}

// Filter returns the names of the nodes that the extender leaves.
func (e *Extender) Filter(ctx context.Context, pod *corev1.Pod, nodes []*corev1.Node) ([]string, Refusals, error) {
	if e.FilterVerb == "" {
		return names(nodes), Refusals{}, nil
	}
	var result extenderv1.ExtenderFilterResult
	if err := e.send(ctx, e.FilterVerb, e.args(pod, nodes), &result); err != nil {
		return nil, Refusals{}, err
	}
	if result.Error != "" {
		return nil, Refusals{}, errors.New(result.Error)
	}
	var left []string
	switch {
	case e.NodeCacheCapable && result.NodeNames != nil:
		left = *result.NodeNames
	case result.Nodes != nil:
		for i := range result.Nodes.Items {
			left = append(left, result.Nodes.Items[i].Name)
		}
	}
	asked := map[string]bool{}
	for _, node := range nodes {
		asked[node.Name] = true
	}
	for _, name := range left {
		if !asked[name] {
			return nil, Refusals{}, fmt.Errorf("extender %q claims a filtered node %q which is not found in the input node list", e.URLPrefix, name)
		}
	}
	return left, Refusals{result.FailedNodes, result.FailedAndUnresolvableNodes}, nil
}

// Prioritize returns the extender's weighted scores by node, on the scale of
// the scheduler's.
func (e *Extender) Prioritize(ctx context.Context, pod *corev1.Pod, nodes []*corev1.Node) (map[string]int64, error) {
	if e.PrioritizeVerb == "" {
		return nil, nil
	}
	var result extenderv1.HostPriorityList
	if err := e.send(ctx, e.PrioritizeVerb, e.args(pod, nodes), &result); err != nil {
		return nil, err
	}
	scores := map[string]int64{}
	for _, host := range result {
		scores[host.Host] += host.Score * e.Weight * (100 / extenderv1.MaxExtenderPriority)
	}
	return scores, nil
}

// Bind lets the extender bind a pod.
func (e *Extender) Bind(ctx context.Context, pod *corev1.Pod, node string) error {
	var result extenderv1.ExtenderBindingResult
	args := &extenderv1.ExtenderBindingArgs{PodName: pod.Name, PodNamespace: pod.Namespace, PodUID: pod.UID, Node: node}
	if err := e.send(ctx, e.BindVerb, args, &result); err != nil {
		return err
	}
	if result.Error != "" {
		return errors.New(result.Error)
	}
	return nil
}

// Preempt returns the victims that the extender leaves or adds, by node, as
// UIDs of pods.
func (e *Extender) Preempt(ctx context.Context, pod *corev1.Pod, victims map[string]*extenderv1.Victims) (map[string]*extenderv1.MetaVictims, error) {
	args := &extenderv1.ExtenderPreemptionArgs{Pod: pod}
	if e.NodeCacheCapable {
		args.NodeNameToMetaVictims = map[string]*extenderv1.MetaVictims{}
		for node, v := range victims {
			meta := &extenderv1.MetaVictims{NumPDBViolations: v.NumPDBViolations}
			for _, victim := range v.Pods {
				meta.Pods = append(meta.Pods, &extenderv1.MetaPod{UID: string(victim.UID)})
			}
			args.NodeNameToMetaVictims[node] = meta
		}
	} else {
		args.NodeNameToVictims = victims
	}
	var result extenderv1.ExtenderPreemptionResult
	if err := e.send(ctx, e.PreemptVerb, args, &result); err != nil {
		return nil, err
	}
	return result.NodeNameToMetaVictims, nil
}

func (e *Extender) args(pod *corev1.Pod, nodes []*corev1.Node) *extenderv1.ExtenderArgs {
	args := &extenderv1.ExtenderArgs{Pod: pod}
	if e.NodeCacheCapable {
		list := names(nodes)
		args.NodeNames = &list
		return args
	}
	args.Nodes = &corev1.NodeList{}
	for _, node := range nodes {
		args.Nodes.Items = append(args.Nodes.Items, *node)
	}
	return args
}

func names(nodes []*corev1.Node) []string {
	list := make([]string, len(nodes))
	for i, node := range nodes {
		list[i] = node.Name
	}
	return list
}

func (e *Extender) send(ctx context.Context, verb string, args, result any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	url := strings.TrimRight(e.URLPrefix, "/") + "/" + verb
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("failed %s with extender at URL %s, code %d", verb, url, response.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(result)
}
