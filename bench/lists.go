package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	protobuf = "application/vnd.kubernetes.protobuf"
	jsonType = "application/json"
	tableAs  = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

func lists(ctx context.Context, s *system, l load) ([]result, error) {
	client, host, err := httpClient(s, 0)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, list := range []struct{ name, accept, path string }{
		{"list pods, protobuf", protobuf, "/api/v1/pods"},
		{"list pods, protobuf, resourceVersion=0", protobuf, "/api/v1/pods?resourceVersion=0"},
		{"list pods, JSON", jsonType, "/api/v1/pods"},
		{"list pods, JSON, pages of 500", jsonType, "/api/v1/pods?limit=500"},
		{"list pods, Table, pages of 500", tableAs, "/api/v1/pods?limit=500"},
		{"list pods, label selector of 1 %", protobuf, "/api/v1/pods?labelSelector=app%3Dweb-7"},
		{"list pods, spec.nodeName", protobuf, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-0007"},
		{"list pods of a namespace", protobuf, "/api/v1/namespaces/" + l.namespace(3) + "/pods"},
	} {
		var times latencies
		var size int64
		for range l.rounds {
			began := time.Now()
			if size, err = listOnce(ctx, client, host+list.path, list.accept); err != nil {
				return nil, err
			}
			times = append(times, float64(time.Since(began).Microseconds())/1000)
		}
		results = append(results, result{
			Scenario: list.name,
			Headline: fmt.Sprintf("%.1f ms, %.1f MB", times.quantile(.5), float64(size)/1e6),
			Figures:  map[string]any{"p50_ms": times.quantile(.5), "max_ms": times.quantile(1), "bytes": size},
		})
	}
	return results, nil
}

// listOnce reads a list, all pages of it, and returns its bytes.
func listOnce(ctx context.Context, client *http.Client, url, accept string) (int64, error) {
	var total int64
	next := ""
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+next, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Accept", accept)
		request.Header.Set("Accept-Encoding", "identity")
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		if response.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			return 0, fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
		}
		if !strings.Contains(url, "limit=") {
			total, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			return total, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return 0, err
		}
		total += int64(len(body))
		token := between(body, `"continue":"`, `"`)
		if token == "" {
			return total, nil
		}
		next = "&continue=" + token
	}
}

func between(b []byte, before, after string) string {
	_, rest, found := bytes.Cut(b, []byte(before))
	if !found {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(after))
	return string(value)
}
