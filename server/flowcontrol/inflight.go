package flowcontrol

import (
	"context"
	"sync/atomic"
	"time"

	endpointmetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
)

// inflight counts requests in one phase, for upstream's metrics: how many there
// are, and how many at most in a second.
type inflight struct{ reads, writes phase }

type phase struct {
	gauge    metrics.RatioedGauge
	now, max atomic.Int64
}

func (i *inflight) add(write bool, requests int64) {
	p := &i.reads
	if write {
		p = &i.writes
	}
	now := p.now.Add(requests)
	p.gauge.Set(float64(now))
	for {
		if highest := p.max.Load(); now <= highest || p.max.CompareAndSwap(highest, now) {
			return
		}
	}
}

// report tells the maximum of each second until ctx ends.
func (i *inflight) report(ctx context.Context, phase string) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		endpointmetrics.UpdateInflightRequestMetrics(phase, int(i.reads.max.Swap(0)), int(i.writes.max.Swap(0)))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
