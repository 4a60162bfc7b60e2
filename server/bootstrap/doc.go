// Package bootstrap makes what a cluster has from its first start: the system
// namespaces, the default range of service addresses, the kubernetes service,
// priority classes, flow schemas with their priority levels, and the RBAC
// policy. It keeps them as upstream does and runs the loops that repair
// allocations and keep the list of running servers.
//
//	b, err := bootstrap.New(bootstrap.Config{Installed: installed, PublicIP: ip, SecurePort: 6443, Logger: log})
//	for _, hook := range b.Hooks() { done[hook] = checks.AddHook(hook) }
//	informers.Start(...)                                  // after New, which asks for informers
//	err = b.Run(ctx, func(hook string) { done[hook]() })  // the server answers loopback requests by now
//	b.Start()                                             // once /readyz is true: others may send requests here
//	b.Stop(ctx)                                           // while the server still answers loopback requests
//
// Everything is safe to do again, and by several servers at once: what exists
// is left as it is, except for what upstream reconciles (roles get back the
// permissions they lost; flow schemas and priority levels follow the release
// unless annotated apf.kubernetes.io/autoupdate-spec=false).
package bootstrap
