package component

import (
	"sync"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// resync is how often informers tell their handlers of everything again. It is
// the least that kube-controller-manager's --min-resync-period gives.
const resync = 12 * time.Hour

// Informers are the shared informers of a process. They run, and what they know
// is kept, while somebody uses them.
type Informers struct {
	client kubernetes.Interface

	mu    sync.Mutex
	users int
	used  *SharedInformers
}

// NewInformers returns informers that read through the client, which needs to
// list and watch whatever its users ask for.
func NewInformers(client kubernetes.Interface) *Informers {
	return &Informers{client: client}
}

// SharedInformers is a factory of informers whose objects are lean: without
// managedFields, and pods that have a node without what only its kubelet reads.
type SharedInformers struct {
	informers.SharedInformerFactory
	stop chan struct{}
}

// Run starts the informers that were asked for since. Those that run already go
// on; all of them end when their last user releases them.
func (s *SharedInformers) Run() { s.SharedInformerFactory.Start(s.stop) }

// Use returns the process's informers, and what to call once when they aren't
// needed any more; it returns when the last user's informers have ended.
func (i *Informers) Use() (shared *SharedInformers, release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.users == 0 {
		i.used = &SharedInformers{
			SharedInformerFactory: informers.NewSharedInformerFactoryWithOptions(i.client, resync, informers.WithTransform(lean)),
			stop:                  make(chan struct{}),
		}
	}
	i.users++
	return i.used, sync.OnceFunc(i.release)
}

func (i *Informers) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.users--; i.users > 0 {
		return
	}
	close(i.used.stop)
	i.used.Shutdown()
	i.used = nil
}
