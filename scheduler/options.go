package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/howdah/howdah/scheduler/device"
	"github.com/howdah/howdah/scheduler/extender"
	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
	"github.com/howdah/howdah/scheduler/volume"
)

// Options say how a scheduler works. The zero value of a field means the
// default that its comment names.
type Options struct {
	Client    kubernetes.Interface
	Bind      func(context.Context, *corev1.Binding) error // by Client
	Informers informers.SharedInformerFactory              // the caller starts it after New
	Version   *version.Version                             // of Kubernetes, for features that nodes declare
	Profiles  []Profile                                    // one, default-scheduler with placement's defaults
	Instance  string                                       // names this process in events

	Extenders []*extender.Extender // in the order in which they are asked

	InitialBackoff, MaxBackoff time.Duration // 1s, 10s
	Bindings                   int           // 100, at the same time

	// Leads tells whether this process may bind now; nil: always.
	Leads func() bool

	Clock  clock.WithTicker // the real one
	Logger *slog.Logger     // discards
}

// A Profile is how pods of one scheduler name are placed.
type Profile struct {
	Name      string // spec.schedulerName of its pods
	Placement placement.Config
	Volumes   volume.Args // VolumeBindingArgs
	Devices   device.Args // DynamicResourcesArgs
	Preempts  bool        // DefaultPreemption is on
	Gates     bool        // SchedulingGates is on
}

// NewProfile is kube-scheduler's default profile.
func NewProfile() Profile {
	return Profile{Name: corev1.DefaultSchedulerName, Placement: placement.DefaultConfig(), Volumes: volume.DefaultArgs(), Devices: device.DefaultArgs(), Preempts: true, Gates: true}
}

func (o *Options) complete() error {
	if o.Client == nil || o.Informers == nil {
		return errors.New("a scheduler needs a client and informers")
	}
	if o.Bind == nil {
		o.Bind = func(ctx context.Context, binding *corev1.Binding) error {
			return o.Client.CoreV1().Pods(binding.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
		}
	}
	if o.Version == nil {
		return errors.New("a scheduler needs the version of Kubernetes")
	}
	if len(o.Profiles) == 0 {
		o.Profiles = []Profile{NewProfile()}
	}
	if o.Instance == "" {
		o.Instance = corev1.DefaultSchedulerName
	}
	if o.Bindings == 0 {
		o.Bindings = 100
	}
	if o.Leads == nil {
		o.Leads = func() bool { return true }
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// profile is a [Profile] at work.
type profile struct {
	Profile
	evaluations
	claims bool // DynamicResources is on
	placer *placement.Placer
}

// assumed is a pod on its way to a node.
type assumed struct {
	pod    *state.Pod
	node   string
	cancel context.CancelCauseFunc // gives up what is to be there before it is bound; nil: it is there
}
