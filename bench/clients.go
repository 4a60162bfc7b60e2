package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// config is for a client whose connections are its own: client-go shares
// transports between equal configs, and two dial functions are never equal.
func config(kubeconfig string, i int) (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	c.QPS, c.Burst = -1, 0
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c.UserAgent = fmt.Sprintf("howdah-bench-%d", i)
	c.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return c, nil
}

// httpClient is a client of such a config, with the URL of the server.
func httpClient(s *system, i int) (client *http.Client, host string, err error) {
	c, err := config(s.kubeconfig, i)
	if err != nil {
		return nil, "", err
	}
	client, err = rest.HTTPClientFor(c)
	return client, c.Host, err
}

func clientsets(s *system, n int) ([]*kubernetes.Clientset, error) {
	all := make([]*kubernetes.Clientset, n)
	for i := range all {
		c, err := config(s.kubeconfig, i)
		if err != nil {
			return nil, err
		}
		if all[i], err = kubernetes.NewForConfig(c); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// latencies in milliseconds.
type latencies []float64

func (l latencies) quantile(p float64) float64 {
	if len(l) == 0 {
		return -1
	}
	slices.Sort(l)
	return math.Round(l[int(p*float64(len(l)-1))]*1000) / 1000
}

// measured is what fan saw.
type measured struct {
	latencies latencies
	errors    int64
	seconds   float64
	cpu       time.Duration // of the server; 0 when its processes are not known
}

// fan is fan, and what it took of the system's processors.
func (s *system) fan(workers, total int, f func(worker, i int) error) measured {
	before, unknown := s.cpu()
	m := fan(workers, total, f)
	if after, err := s.cpu(); err == nil && unknown == nil {
		m.cpu = after - before
	}
	return m
}

// fan runs f(worker, i) for every i below total on the given number of workers.
func fan(workers, total int, f func(worker, i int) error) measured {
	var next, failed atomic.Int64
	perWorker := make([]latencies, workers)
	var wg sync.WaitGroup
	start := time.Now()
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= total {
					return
				}
				began := time.Now()
				if err := f(w, i); err != nil {
					if failed.Add(1) <= 3 {
						fmt.Fprintln(os.Stderr, "error:", err)
					}
					continue
				}
				perWorker[w] = append(perWorker[w], float64(time.Since(began).Microseconds())/1000)
			}
		})
	}
	wg.Wait()
	return measured{latencies: slices.Concat(perWorker...), errors: failed.Load(), seconds: time.Since(start).Seconds()}
}

func (m measured) result(scenario string) result {
	rate := math.Round(float64(len(m.latencies)) / m.seconds)
	p50, p99 := m.latencies.quantile(.5), m.latencies.quantile(.99)
	headline := fmt.Sprintf("%.0f/s, p99 %.1f ms", rate, p99)
	each := m.cpu.Microseconds() / int64(max(1, len(m.latencies)))
	if each > 0 {
		headline += fmt.Sprintf(", CPU %d µs", each)
	}
	if m.errors > 0 {
		headline += fmt.Sprintf(", %d errors", m.errors)
	}
	return result{Scenario: scenario, Headline: headline, Figures: map[string]any{
		"operations": len(m.latencies), "errors": m.errors, "per_s": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": m.latencies.quantile(1), "cpu_us": each,
	}}
}
