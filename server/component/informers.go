package component

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
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
	// Reader lists what the informers may: for who needs objects whole.
	Reader kubernetes.Interface
	stop   chan struct{}

	mu      sync.Mutex
	secrets map[corev1.SecretType]informers.SharedInformerFactory
}

// Run starts the informers that were asked for since. Those that run already go
// on; all of them end when their last user releases them.
func (s *SharedInformers) Run() {
	s.Start(s.stop)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, factory := range s.secrets {
		factory.Start(s.stop)
	}
}

// Secrets are the informers of Secrets of one type: few need those of all
// others, which may be large and are nobody's business.
func (s *SharedInformers) Secrets(kind corev1.SecretType) coreinformers.SecretInformer {
	s.mu.Lock()
	defer s.mu.Unlock()
	factory, ok := s.secrets[kind]
	if !ok {
		factory = informers.NewSharedInformerFactoryWithOptions(s.Reader, resync, informers.WithTransform(new(leaner).lean),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector("type", string(kind)).String()
			}))
		s.secrets[kind] = factory
	}
	return factory.Core().V1().Secrets()
}

func (s *SharedInformers) end() {
	close(s.stop)
	s.Shutdown()
	for _, factory := range s.secrets {
		factory.Shutdown()
	}
}

// Use returns the process's informers, and what to call once when they aren't
// needed any more; it returns when the last user's informers have ended.
func (i *Informers) Use() (shared *SharedInformers, release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.users == 0 {
		i.used = &SharedInformers{
			SharedInformerFactory: informers.NewSharedInformerFactoryWithOptions(i.client, resync, informers.WithTransform(new(leaner).lean)),
			Reader:                i.client,
			stop:                  make(chan struct{}),
			secrets:               map[corev1.SecretType]informers.SharedInformerFactory{},
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
	i.used.end()
	i.used = nil
}
