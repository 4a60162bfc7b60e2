package component

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	_ "k8s.io/component-base/metrics/prometheus/clientgo/leaderelection" // leader_election_master_status
)

// Election says how candidates agree on the one that works. The defaults are
// those of upstream's components
// (https://kubernetes.io/docs/concepts/architecture/leases/#leader-election).
type Election struct {
	Namespace string // "kube-system"
	Name      string // of the Lease, such as "kube-controller-manager"
	Identity  string // of this candidate; by default the host's name and something unique
	Source    string // component that the events of the Lease, who leads and who no longer does, come from

	LeaseDuration time.Duration // 15s; a leader that is silent for that long is replaced
	RenewDeadline time.Duration // 10s; a leader that can't renew for that long gives up
	RetryPeriod   time.Duration // 2s between attempts

	// WatchDog fails the health check of a leader that doesn't renew; may be nil.
	WatchDog *leaderelection.HealthzAdaptor
}

func (e *Election) complete() error {
	if e.Namespace == "" {
		e.Namespace = metav1.NamespaceSystem
	}
	if e.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find a name for this candidate: %w", err)
		}
		e.Identity = host + "_" + uuid.NewString()
	}
	e.LeaseDuration = cmp.Or(e.LeaseDuration, 15*time.Second)
	e.RenewDeadline = cmp.Or(e.RenewDeadline, 10*time.Second)
	e.RetryPeriod = cmp.Or(e.RetryPeriod, 2*time.Second)
	return nil
}

// Lead runs work while this candidate is the leader, until ctx ends. When the
// lease is lost, work's context ends, Lead waits for work, and stands for
// election again. When ctx ends, Lead waits for work and gives the lease back,
// so that another candidate takes over at once and never beside it.
//
// work must return when its context ends. If it returns before, Lead returns
// its error.
func Lead(ctx context.Context, client kubernetes.Interface, election Election, log *slog.Logger, work func(context.Context) error) error {
	if err := election.complete(); err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	events := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: election.Source})
	for ctx.Err() == nil {
		if err := leadOnce(ctx, client, election, events, log, work); err != nil {
			return err
		}
	}
	return nil
}

// Leads tells whether the lease under which [Lead] runs the work of this context
// was renewed lately enough for nobody else to hold it. It is false sooner than
// the context ends where the process was held up. Work that nobody elected
// leads until its context ends.
func Leads(ctx context.Context) bool { return ctx.Err() == nil && holdsLease(ctx) }

func holdsLease(ctx context.Context) bool {
	elector, ok := ctx.Value(electorKey{}).(*leaderelection.LeaderElector)
	return !ok || elector.IsLeader() && elector.Check(0) == nil
}

// Fenced is access that writes only while the lease is held under which [Lead]
// runs the work of this context. A process that was held up in the middle of its
// work would else go on with it beside the next leader, until it notices.
func Fenced(ctx context.Context, access *rest.Config) *rest.Config {
	fenced := rest.CopyConfig(access)
	fenced.Wrap(func(next http.RoundTripper) http.RoundTripper { return fence{ctx, next} })
	return fenced
}

type fence struct {
	work context.Context
	next http.RoundTripper
}

var errNotLeading = errors.New("this process no longer leads: the lease ran out, and another may hold it")

func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || holdsLease(f.work) {
		return f.next.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, errNotLeading
}

type electorKey struct{}

// leadOnce returns when ctx ended, the lease was lost, or work returned.
func leadOnce(ctx context.Context, client kubernetes.Interface, election Election, events record.EventRecorder, log *slog.Logger, work func(context.Context) error) error {
	// The election outlives ctx until work has stopped: only then may the
	// lease be given back.
	electing, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	leading, done := make(chan context.Context, 1), make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &ownLock{Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: election.Namespace, Name: election.Name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: election.Identity, EventRecorder: events},
		}},
		LeaseDuration:   election.LeaseDuration,
		RenewDeadline:   election.RenewDeadline,
		RetryPeriod:     election.RetryPeriod,
		WatchDog:        election.WatchDog,
		ReleaseOnCancel: true,
		Name:            election.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { leading <- ctx },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("elect a leader by the lease %s/%s: %w", election.Namespace, election.Name, err)
	}
	if election.WatchDog != nil {
		election.WatchDog.SetLeaderElection(elector)
	}
	go func() {
		defer close(done)
		elector.Run(electing)
	}()
	defer func() {
		resign()
		<-done
	}()

	select {
	case <-ctx.Done():
		return nil
	case <-done:
		return nil
	case led := <-leading:
		log.Debug("leading", "lease", election.Name, "identity", election.Identity)
		working, stop := context.WithCancel(context.WithValue(ctx, electorKey{}, elector))
		defer stop()
		defer context.AfterFunc(led, stop)()
		err := work(working)
		if led.Err() != nil && ctx.Err() == nil {
			log.Warn("lost the lease, standing for election again", "lease", election.Name)
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// ownLock gives back a lease only from who holds it. The elector of client-go would
// take it from the next leader, if it was held up for so long that there is one.
type ownLock struct {
	resourcelock.Interface
	holder string // as last read or written
}

func (l *ownLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.holder = record.HolderIdentity
	}
	return record, raw, err
}

func (l *ownLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity == "" && l.holder != l.Identity() {
		return nil // nothing to give back
	}
	err := l.Interface.Update(ctx, record)
	if err == nil {
		l.holder = record.HolderIdentity
	}
	return err
}

func (l *ownLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, record)
	if err == nil {
		l.holder = record.HolderIdentity
	}
	return err
}
