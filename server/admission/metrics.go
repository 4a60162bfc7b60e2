package admission

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/admission"
)

// Metrics are the durations of admission, under kube-apiserver's names. Every
// write is observed some thirty times, so what is observed into is kept at hand.
type Metrics struct {
	plugins     *prometheus.HistogramVec
	steps       *prometheus.HistogramVec
	stepSummary *prometheus.SummaryVec
}

// NewMetrics are those of one server.
func NewMetrics() *Metrics {
	const about = "broken out for each operation and API resource and "
	buckets := []float64{0.005, 0.025, 0.1, 0.5, 1.0, 2.5}
	return &Metrics{
		plugins: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_admission_controller_admission_duration_seconds",
			Help:    "[STABLE] Admission controller latency histogram in seconds, identified by name and " + about + "type (validate or admit).",
			Buckets: buckets,
		}, []string{"name", "type", "operation", "rejected"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_admission_step_admission_duration_seconds",
			Help:    "[STABLE] Admission sub-step latency histogram in seconds, " + about + "step type (validate or admit).",
			Buckets: buckets,
		}, []string{"type", "operation", "rejected"}),
		stepSummary: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:   "apiserver_admission_step_admission_duration_seconds_summary",
			Help:   "[ALPHA] Admission sub-step latency summary in seconds, " + about + "step type (validate or admit).",
			MaxAge: 5 * time.Hour,
		}, []string{"type", "operation", "rejected"}),
	}
}

// Collectors are for the server's registry.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.plugins, m.steps, m.stepSummary}
}

// plugin measures one plugin.
func (m *Metrics) plugin(plugin admission.Interface, name string) admission.Interface {
	return newMeasured(plugin, m.plugins.MustCurryWith(prometheus.Labels{"name": name}))
}

// chain measures all of them together.
func (m *Metrics) chain(chain admission.Interface) admission.Interface {
	return newMeasured(chain, m.steps, m.stepSummary)
}

// operations are what is admitted.
var operations = []admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect}

// measured observes how long each call takes.
type measured struct {
	admission.Interface
	mutates   admission.MutationInterface   // nil: it does not
	validates admission.ValidationInterface // nil: it does not

	handles         []bool   // by operation
	admit, validate []series // by operation
}

// series is where the calls of one type and operation are observed.
type series struct {
	labels   []string
	vectors  []prometheus.ObserverVec
	outcomes [2]atomic.Pointer[[]prometheus.Observer] // accepted and rejected; nil until there was one
}

func newMeasured(plugin admission.Interface, vectors ...prometheus.ObserverVec) *measured {
	m := &measured{Interface: plugin, handles: make([]bool, len(operations)), admit: make([]series, len(operations)), validate: make([]series, len(operations))}
	m.mutates, _ = plugin.(admission.MutationInterface)
	m.validates, _ = plugin.(admission.ValidationInterface)
	for i, operation := range operations {
		m.handles[i] = plugin.Handles(operation)
		m.admit[i].labels, m.admit[i].vectors = []string{"admit", string(operation)}, vectors
		m.validate[i].labels, m.validate[i].vectors = []string{"validate", string(operation)}, vectors
	}
	return m
}

// Handles implements [admission.Interface]. No plugin changes its mind, and each is
// asked several times for each write.
func (m *measured) Handles(operation admission.Operation) bool {
	i := slices.Index(operations, operation)
	return i >= 0 && m.handles[i]
}

// Admit implements [admission.MutationInterface].
func (m *measured) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if m.mutates == nil {
		return nil
	}
	began := time.Now()
	err := m.mutates.Admit(ctx, a, o)
	observe(m.admit, a.GetOperation(), err, time.Since(began))
	return err
}

// Validate implements [admission.ValidationInterface].
func (m *measured) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if m.validates == nil {
		return nil
	}
	began := time.Now()
	err := m.validates.Validate(ctx, a, o)
	observe(m.validate, a.GetOperation(), err, time.Since(began))
	return err
}

func observe(all []series, operation admission.Operation, err error, took time.Duration) {
	i := slices.Index(operations, operation)
	if i < 0 {
		return
	}
	s, rejected := &all[i], 0
	if err != nil {
		rejected = 1
	}
	observers := s.outcomes[rejected].Load()
	if observers == nil {
		var made []prometheus.Observer
		for _, vector := range s.vectors {
			made = append(made, vector.WithLabelValues(append(slices.Clone(s.labels), strconv.FormatBool(err != nil))...))
		}
		observers = &made
		s.outcomes[rejected].Store(observers)
	}
	for _, observer := range *observers {
		observer.Observe(took.Seconds())
	}
}
