// Package builtin fills the table of resources with what a kube-apiserver
// serves by itself. The REST storages, their strategies, defaults, validation
// and table columns are upstream's; what is ours is the wiring: which rows
// there are, what their fields say, and the allocation of service addresses
// and node ports.
//
//	apis, err := builtin.APIs(runtimeConfig)          // what is on and off
//	installed, err := builtin.Install(table, builtin.Config{
//		APIs: apis, Getter: getter, Loopback: loopback.Config(...), Informers: informers,
//		ServiceCIDRs: ranges, NodePorts: ports, EventTTL: time.Hour,
//	})
//	...                                               // bootstrap.New(... installed ...)
//	informers.Start(ctx.Done())                       // after Install, which asks for informers
//	defer installed.Stop()
//
// Service addresses come from upstream's allocator over ServiceCIDR and
// IPAddress objects, which the name of an IPAddress makes unique. Node ports
// come from one bitmap in the store (/registry/ranges/servicenodeports), written
// by compare-and-swap, so that two servers never give the same port.
package builtin
