// Package reconcile owns how a controller lives: what it is given, the handlers,
// queues and loops it registers, and what becomes of it when it panics.
//
// A controller is a [Setup]: a function that gets a fresh [Controller], asks it
// for informers, queues and loops, and returns. Nothing it registered runs
// before every informer it handles is filled. Everything ends, and is waited
// for, when the controller's context ends.
//
// A panic, wherever in a controller it happens, ends this controller alone: its
// handlers are removed, its queues shut and its loops waited for, and after a
// pause it is set up anew, from nothing but what the API says. No state survives
// a panic, so none can be left broken by one.
//
//	func Setup(c *reconcile.Controller) error {
//		pods := c.Informers.Core().V1().Pods()
//		x := &controller{pods: pods.Lister(), client: c.Client}
//		x.queue = reconcile.NewQueue(c, "replicaset", 5, x.sync)
//		return c.Handle(pods.Informer(), cache.ResourceEventHandlerFuncs{...})
//	}
package reconcile
