package scheduler

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics carry kube-scheduler's names and meanings
// (https://kubernetes.io/docs/reference/instrumentation/metrics/).
type metrics struct {
	attempts           *prometheus.CounterVec
	duration           *prometheus.HistogramVec
	algorithm          prometheus.Histogram
	sli                *prometheus.HistogramVec
	tries              prometheus.Histogram
	victims            prometheus.Histogram
	preemptionAttempts prometheus.Counter
	pending            *prometheus.GaugeVec
	incoming           *prometheus.CounterVec
	causes             *prometheus.GaugeVec
	cache              *prometheus.GaugeVec
	goroutines         *prometheus.GaugeVec
	points             *prometheus.HistogramVec
	plugins            *prometheus.HistogramVec
	evaluations        *prometheus.CounterVec
	events             *prometheus.HistogramVec
	entities           *prometheus.GaugeVec
	incomingEntities   *prometheus.CounterVec
	flushed            prometheus.Counter
	evictions          *prometheus.CounterVec
	evicting           *prometheus.HistogramVec
}

func newMetrics() *metrics {
	const namespace = "scheduler"
	return &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "schedule_attempts_total",
			Help: "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
		}, []string{"result", "profile"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "scheduling_attempt_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
			Help: "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
		}, []string{"result", "profile"}),
		algorithm: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "scheduling_algorithm_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
			Help: "Scheduling algorithm latency in seconds",
		}),
		sli: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "pod_scheduling_sli_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.01, 2, 20),
			Help: "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
		}, []string{"attempts"}),
		tries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "pod_scheduling_attempts", Buckets: prometheus.ExponentialBuckets(1, 2, 5),
			Help: "Number of attempts to successfully schedule a pod.",
		}),
		victims: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "preemption_victims", Buckets: prometheus.ExponentialBuckets(1, 2, 7),
			Help: "Number of selected preemption victims for preemption initiated by a single pod",
		}),
		preemptionAttempts: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "preemption_attempts_total", Help: "Total preemption attempts in the cluster till now",
		}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "pending_pods",
			Help: "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
		}, []string{"queue"}),
		incoming: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "queue_incoming_pods_total", Help: "Number of pods added to scheduling queues by event and queue type.",
		}, []string{"queue", "event"}),
		causes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "unschedulable_pods",
			Help: "The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.",
		}, []string{"plugin", "profile"}),
		cache: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "cache_size", Help: "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
		}, []string{"type"}),
		goroutines: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "goroutines", Help: "Number of running goroutines split by the work they do such as binding.",
		}, []string{"operation"}),
		points: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "framework_extension_point_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 12),
			Help: "Latency for running all plugins of a specific extension point.",
		}, []string{"extension_point", "status", "profile"}),
		plugins: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "plugin_execution_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.00001, 1.5, 20),
			Help: "Duration for running a plugin at a specific extension point.",
		}, []string{"plugin", "extension_point", "status"}),
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "plugin_evaluation_total",
			Help: "Number of attempts to schedule pods by each plugin and the extension point (available only in PreFilter, Filter, PreScore, and Score).",
		}, []string{"plugin", "extension_point", "profile"}),
		events: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "event_handling_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 12),
			Help: "Event handling latency in seconds.",
		}, []string{"event"}),
		entities: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "queued_entities",
			Help: "Number of queued scheduling entities ('pod' or 'podgroup'; 'pod' stands for individual pods that are not members of any podgroup) by the queue type. 'active' means number of entities in activeQ; 'backoff' means number of entities in backoffQ; 'unschedulable' means number of entities in unschedulableEntities that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable entities that the scheduler never attempted to schedule because they are gated.",
		}, []string{"queue", "type"}),
		incomingEntities: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "queue_incoming_entities_total",
			Help: "Number of scheduling entities added to scheduling queues by event, queue type, and entity type. Entity types are either 'pod' (for individual pods that are not members of any podgroup) or 'podgroup'.",
		}, []string{"queue", "event", "type"}),
		flushed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "pod_scheduled_after_flush_total",
			Help: "Number of pods that were successfully scheduled after being flushed from unschedulableEntities due to timeout. This metric helps detect potential queueing hint misconfigurations or event handling issues.",
		}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "preemption_goroutines_execution_total", Help: "Number of preemption goroutines executed.",
		}, []string{"result"}),
		evicting: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "preemption_goroutines_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.01, 2, 20),
			Help: "Duration in seconds for running goroutines for the preemption.",
		}, []string{"result"}),
	}
}

// Collectors are the scheduler's metrics.
func (s *Scheduler) Collectors() []prometheus.Collector {
	m := s.metrics
	return append(s.devices.Metrics.Collectors(), m.attempts, m.duration, m.algorithm, m.sli, m.tries, m.victims, m.preemptionAttempts, m.pending, m.incoming,
		m.causes, m.cache, m.goroutines, m.points, m.plugins, m.evaluations, m.events, m.entities, m.incomingEntities,
		m.flushed, m.evictions, m.evicting)
}

// entered counts a pod that enters a queue.
func (m *metrics) entered(queue, event string) {
	m.incoming.WithLabelValues(queue, event).Inc()
	m.incomingEntities.WithLabelValues(queue, event, "pod").Inc()
}

// code is kube-scheduler's word for how something ended.
func code(err error) string {
	if err != nil {
		return "Error"
	}
	return "Success"
}

// evaluations counts the attempts of one profile by its plugins.
type evaluations struct{ filters, scores []prometheus.Counter }

func (m *metrics) evaluationsOf(p Profile) evaluations {
	var e evaluations
	for _, name := range p.Placement.Filters {
		e.filters = append(e.filters, m.evaluations.WithLabelValues(name, "Filter", p.Name))
	}
	for _, score := range p.Placement.Scores {
		e.scores = append(e.scores, m.evaluations.WithLabelValues(score.Name, "Score", p.Name))
	}
	return e
}

func count(counters []prometheus.Counter) {
	for _, counter := range counters {
		counter.Inc()
	}
}

func (m *metrics) scheduled(profile string, took time.Duration, attempts int, since time.Duration, flushed bool) {
	m.observe("scheduled", profile, took)
	if flushed {
		m.flushed.Inc()
	}
	m.tries.Observe(float64(attempts))
	label := strconv.Itoa(attempts)
	if attempts >= 15 {
		label = "15+"
	}
	m.sli.WithLabelValues(label).Observe(since.Seconds())
}

func (m *metrics) unschedulable(profile string, took time.Duration) {
	m.observe("unschedulable", profile, took)
}

func (m *metrics) failed(profile string, took time.Duration) { m.observe("error", profile, took) }

func (m *metrics) observe(result, profile string, took time.Duration) {
	m.attempts.WithLabelValues(result, profile).Inc()
	m.duration.WithLabelValues(result, profile).Observe(took.Seconds())
}

// measure brings the gauges up to date. The lock is held.
func (s *Scheduler) measure() {
	for name, n := range s.queue.Counts() {
		s.metrics.pending.WithLabelValues(name).Set(float64(n))
		s.metrics.entities.WithLabelValues(name, "pod").Set(float64(n))
	}
	s.metrics.causes.Reset()
	for cause, n := range s.queue.Causes() {
		s.metrics.causes.WithLabelValues(cause.Plugin, cause.Profile).Set(float64(n))
	}
	s.metrics.cache.WithLabelValues("nodes").Set(float64(len(s.cluster.Nodes())))
	s.metrics.cache.WithLabelValues("pods").Set(float64(s.cluster.Pods()))
	s.metrics.cache.WithLabelValues("assumed_pods").Set(float64(len(s.assumed)))
	s.metrics.goroutines.WithLabelValues("binding").Set(float64(s.binding.Load()))
}
