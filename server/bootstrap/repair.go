package bootstrap

import (
	"context"
	"sync"
	"time"

	serviceipallocatorcontroller "k8s.io/kubernetes/pkg/registry/core/service/ipallocator/controller"
	portallocatorcontroller "k8s.io/kubernetes/pkg/registry/core/service/portallocator/controller"
)

// repairPause is how long a repair that gave up waits before it starts again.
const repairPause = time.Second

type repairer interface {
	RunUntil(onFirstSuccess func(), stop chan struct{})
}

// newAddressRepair compares service addresses with IPAddress objects. It uses
// informers, so it must be made before they start.
func (b *Bootstrap) newAddressRepair() repairer {
	informers := b.Installed.Config.Informers
	return serviceipallocatorcontroller.NewRepairIPAddress(b.RepairInterval, b.client,
		informers.Core().V1().Services(), informers.Networking().V1().ServiceCIDRs(), informers.Networking().V1().IPAddresses())
}

// startRepairs starts the loops that make allocations what the services say,
// and returns when both have gone round once: no address or port may be given
// before that.
func (b *Bootstrap) startRepairs(ctx context.Context) error {
	ports := portallocatorcontroller.NewRepair(b.RepairInterval, b.client.CoreV1(), b.client.EventsV1(),
		b.Installed.Config.NodePorts, b.Installed.NodePorts)
	repaired := make(chan struct{}, 2)
	b.repair(func() repairer { return ports }, repaired)
	addresses := b.addresses
	b.repair(func() repairer {
		// One that gave up has shut its queues and can't run again.
		repair := addresses
		addresses = nil
		if repair == nil {
			repair = b.newAddressRepair()
		}
		return repair
	}, repaired)
	for range cap(repaired) {
		select {
		case <-repaired:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (b *Bootstrap) repair(next func() repairer, repaired chan<- struct{}) {
	var first sync.Once
	b.loop(func(ctx context.Context) {
		stop := make(chan struct{})
		unregister := context.AfterFunc(ctx, func() { close(stop) })
		defer unregister()
		for ctx.Err() == nil {
			next().RunUntil(func() { first.Do(func() { repaired <- struct{}{} }) }, stop)
			select {
			case <-time.After(repairPause):
			case <-ctx.Done():
			}
		}
	})
}
