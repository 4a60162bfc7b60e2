package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const watchTarget = "watch-target"

// watchFanout has many watchers of one namespace's configmaps while one writer
// updates one of them, and reports the time from before the write is sent until
// its event has arrived at each watcher.
func watchFanout(ctx context.Context, s *system, l load) ([]result, error) {
	clients, err := clientsets(s, 1)
	if err != nil {
		return nil, err
	}
	api := clients[0].CoreV1().ConfigMaps("default")
	_ = api.Delete(ctx, watchTarget, metav1.DeleteOptions{}) // of an earlier run
	configMap, err := api.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: watchTarget},
		Data:       map[string]string{"pad": strings.Repeat("x", 1024)},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	perWatcher := make([]latencies, l.watchers)
	var ready, done sync.WaitGroup
	for w := range l.watchers {
		client, host, err := httpClient(s, w%16)
		if err != nil {
			return nil, err
		}
		url := host + "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=" + configMap.ResourceVersion
		ready.Add(1)
		done.Go(func() { perWatcher[w] = watchOnce(watching, client, url, ready.Done) })
	}
	ready.Wait()
	writes, seconds := write(ctx, clients[0], configMap, l)
	time.Sleep(2 * time.Second) // for what is still under way
	stop()
	done.Wait()

	var all latencies
	for _, one := range perWatcher {
		all = append(all, one...)
	}
	lost := writes*l.watchers - len(all)
	return []result{{
		Scenario: fmt.Sprintf("watch, %d watchers, %d writes/s", l.watchers, l.rate),
		Headline: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, %d lost", all.quantile(.5), all.quantile(.99), lost),
		Figures: map[string]any{"writes": writes, "writes_per_s": math.Round(float64(writes) / seconds), "events": len(all), "lost": lost,
			"p50_ms": all.quantile(.5), "p99_ms": all.quantile(.99), "max_ms": all.quantile(1)},
	}}, nil
}

// write updates the configmap at the load's rate with the time of sending.
func write(ctx context.Context, client *kubernetes.Clientset, configMap *corev1.ConfigMap, l load) (writes int, seconds float64) {
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	start := time.Now()
	for time.Since(start) < time.Duration(l.seconds)*time.Second && ctx.Err() == nil {
		<-tick.C
		configMap.Data["sent"] = strconv.FormatInt(time.Now().UnixNano(), 10)
		updated, err := client.CoreV1().ConfigMaps("default").Update(ctx, configMap, metav1.UpdateOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			continue
		}
		configMap = updated
		writes++
	}
	return writes, time.Since(start).Seconds()
}

// watchOnce returns the latencies of the events that it got until the end.
func watchOnce(ctx context.Context, client *http.Client, url string, ready func()) latencies {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Accept", jsonType)
	response, err := client.Do(request)
	ready()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return nil
	}
	defer response.Body.Close()
	var got latencies
	lines := bufio.NewReaderSize(response.Body, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return got
		}
		if sent, err := strconv.ParseInt(between(line, `"sent":"`, `"`), 10, 64); err == nil {
			got = append(got, float64(time.Now().UnixNano()-sent)/1e6)
		}
	}
}
