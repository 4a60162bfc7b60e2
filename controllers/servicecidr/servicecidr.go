// Package servicecidr keeps ServiceCIDRs that are deleted until no Service has an
// address that only they contain, and says which are ready
// (https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/).
package servicecidr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	applyv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/client-go/kubernetes"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/controllers/reconcile"
)

const (
	workers   = 5
	manager   = "service-cidr-controller"
	finalizer = "networking.k8s.io/service-cidr-finalizer"
	allocator = "ipallocator.k8s.io" // who makes the IPAddresses of Services
	// settling is how long servers may go on giving addresses of a ServiceCIDR
	// that is being deleted, because they don't know it yet.
	settling = 10 * time.Second
)

type controller struct {
	client    kubernetes.Interface
	clock     clock.PassiveClock
	events    record.EventRecorder
	cidrs     networkinglisters.ServiceCIDRLister
	addresses networkinglisters.IPAddressLister
	queue     *reconcile.Queue[string]
}

// Setup is the service-cidr-controller.
func Setup(c *reconcile.Controller) error {
	cidrs, addresses := c.Informers.Networking().V1().ServiceCIDRs(), c.Informers.Networking().V1().IPAddresses()
	x := &controller{client: c.Client, clock: c.Clock, events: c.Recorder(manager), cidrs: cidrs.Lister(), addresses: addresses.Lister()}
	x.queue = reconcile.NewQueue(c, "ipaddresses", workers, x.sync)
	return errors.Join(
		c.Handle(cidrs.Informer(), reconcile.Events[*networkingv1.ServiceCIDR]{
			Add:    x.withOverlapping,
			Update: func(_, cidr *networkingv1.ServiceCIDR) { x.queue.Add(cidr.Name) },
			Delete: x.withOverlapping,
		}),
		c.Handle(addresses.Informer(), reconcile.Events[*networkingv1.IPAddress]{Add: x.holders, Delete: x.holders}),
	)
}

// withOverlapping enqueues a ServiceCIDR and those it overlaps, whose addresses
// it may contain too.
func (x *controller) withOverlapping(cidr *networkingv1.ServiceCIDR) {
	x.queue.Add(cidr.Name)
	all, err := x.cidrs.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, other := range all {
		for _, prefix := range prefixes(cidr) {
			if slices.ContainsFunc(prefixes(other), prefix.Overlaps) {
				x.queue.Add(other.Name)
			}
		}
	}
}

// holders enqueues those that a Service's address holds, or held, back.
func (x *controller) holders(address *networkingv1.IPAddress) {
	ip, err := netip.ParseAddr(address.Name)
	if err != nil || address.Labels[networkingv1.LabelManagedBy] != allocator {
		return
	}
	all, err := x.cidrs.List(labels.Everything())
	if err != nil {
		return // informers' listers don't fail
	}
	for _, cidr := range all {
		if cidr.DeletionTimestamp != nil && contains(cidr, ip) {
			x.queue.Add(cidr.Name)
		}
	}
}

func (x *controller) sync(ctx context.Context, name string) error {
	cidr, err := x.cidrs.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if cidr.DeletionTimestamp != nil {
		return x.end(ctx, cidr)
	}
	if !slices.Contains(cidr.Finalizers, finalizer) {
		if err := x.patch(ctx, name, "finalizers"); err != nil {
			return err
		}
	}
	err = x.say(ctx, cidr, metav1.Condition{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Message: "Kubernetes Service CIDR is ready",
	})
	if err != nil {
		x.events.Event(cidr, corev1.EventTypeWarning, "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True")
	}
	return err
}

// end lets a ServiceCIDR go, or tells why it can't.
func (x *controller) end(ctx context.Context, cidr *networkingv1.ServiceCIDR) error {
	all, err := x.cidrs.List(labels.Everything())
	if err != nil {
		return err
	}
	addresses, err := x.addresses.List(labels.SelectorFromValidatedSet(labels.Set{networkingv1.LabelManagedBy: allocator}))
	if err != nil {
		return err
	}
	if orphans(cidr, all, addresses) {
		return x.say(ctx, cidr, metav1.Condition{
			Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionFalse, Reason: networkingv1.ServiceCIDRReasonTerminating,
			Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
		})
	}
	if wait := settling - x.clock.Since(cidr.DeletionTimestamp.Time); wait > 0 {
		x.queue.AddAfter(cidr.Name, wait)
		return nil
	}
	if !slices.Contains(cidr.Finalizers, finalizer) {
		return nil
	}
	return x.patch(ctx, cidr.Name, "$deleteFromPrimitiveList/finalizers")
}

// orphans is whether a Service's address would be in no ServiceCIDR without this
// one. One whose ranges are all within others' has none.
func orphans(cidr *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, addresses []*networkingv1.IPAddress) bool {
	within := func(prefix netip.Prefix) bool {
		return slices.ContainsFunc(all, func(other *networkingv1.ServiceCIDR) bool {
			return other.Name != cidr.Name && slices.ContainsFunc(prefixes(other), func(p netip.Prefix) bool {
				return p.Bits() <= prefix.Bits() && p.Contains(prefix.Addr())
			})
		})
	}
	if !slices.ContainsFunc(prefixes(cidr), func(p netip.Prefix) bool { return !within(p) }) {
		return false
	}
	return slices.ContainsFunc(addresses, func(address *networkingv1.IPAddress) bool {
		ip, err := netip.ParseAddr(address.Name)
		if err != nil || !contains(cidr, ip) {
			return false
		}
		return !slices.ContainsFunc(all, func(other *networkingv1.ServiceCIDR) bool { return other.Name != cidr.Name && contains(other, ip) })
	})
}

func prefixes(cidr *networkingv1.ServiceCIDR) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(cidr.Spec.CIDRs))
	for _, text := range cidr.Spec.CIDRs {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			all = append(all, prefix)
		}
	}
	return all
}

func contains(cidr *networkingv1.ServiceCIDR, ip netip.Addr) bool {
	return slices.ContainsFunc(prefixes(cidr), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// patch adds our finalizer, or removes it, as the field says.
func (x *controller) patch(ctx context.Context, name, field string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{field: []string{finalizer}}})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	_, err = x.client.NetworkingV1().ServiceCIDRs().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (x *controller) say(ctx context.Context, cidr *networkingv1.ServiceCIDR, c metav1.Condition) error {
	if old := meta.FindStatusCondition(cidr.Status.Conditions, c.Type); old != nil && old.Status == c.Status && old.Reason == c.Reason && old.Message == c.Message {
		return nil
	}
	status := applyv1.ServiceCIDRStatus().WithConditions(applymetav1.Condition().
		WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).WithLastTransitionTime(metav1.NewTime(x.clock.Now())))
	_, err := x.client.NetworkingV1().ServiceCIDRs().ApplyStatus(ctx, applyv1.ServiceCIDR(cidr.Name).WithStatus(status), metav1.ApplyOptions{FieldManager: manager, Force: true})
	return err
}
