package health

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestAnswers(t *testing.T) {
	checks := New(slog.New(slog.DiscardHandler))
	storage := errors.New("connection refused")
	checks.Add(Storage, func(context.Context) error { return storage })
	checks.AddReadiness(StorageReadiness, func(context.Context) error { return nil })
	done := checks.AddHook("bootstrap")

	expect := func(path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		endpoint, _, _ := strings.Cut(strings.Split(path, "?")[0][1:], "/")
		checks.Handler(endpoint).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != status || w.Body.String() != body {
			t.Errorf("%s: %d %q, expected %d %q", path, w.Code, w.Body, status, body)
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" && path[len(path)-1] != 'k' {
			t.Errorf("%s: %s", path, got)
		}
	}
	expect("/readyz", 500, "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\n[+]etcd-readiness ok\n[-]poststarthook/bootstrap failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n")
	expect("/livez", 500, "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\n[-]poststarthook/bootstrap failed: reason withheld\nlivez check failed\n")
	expect("/readyz/etcd", 500, "internal server error: connection refused\n")
	expect("/readyz/poststarthook/bootstrap", 500, "internal server error: not finished\n")
	done()
	expect("/readyz/poststarthook/bootstrap", 200, "ok")
	expect("/livez?exclude=etcd", 200, "ok")
	expect("/livez?exclude=etcd&verbose", 200, "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n[+]poststarthook/bootstrap ok\nlivez check passed\n")
	expect("/healthz?exclude=etcd&exclude=y&exclude=x&verbose=true", 200, "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n[+]poststarthook/bootstrap ok\nwarn: some health checks cannot be excluded: no matches for \"x\",\"y\"\nhealthz check passed\n")
	storage = nil
	expect("/healthz", 200, "ok")
	expect("/livez/ping", 200, "ok")
	expect("/livez/etcd-readiness", 404, "404 page not found\n")
	expect("/readyz/etcd-readiness", 200, "ok")
	expect("/readyz/shutdown", 200, "ok")
	expect("/livez/shutdown", 404, "404 page not found\n")
	expect("/livez/", 404, "404 page not found\n")
	checks.ShuttingDown()
	expect("/livez", 200, "ok")
	expect("/readyz", 500, "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]poststarthook/bootstrap ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n")
}

func TestConcurrentUse(t *testing.T) {
	checks := New(slog.New(slog.DiscardHandler))
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			checks.AddHook("x")()
			w := httptest.NewRecorder()
			checks.Handler("readyz").ServeHTTP(w, httptest.NewRequest("GET", "/readyz?verbose", nil))
		})
	}
	running.Wait()
	if got := len(checks.of("livez")); got != 10 {
		t.Errorf("%d checks", got)
	}
}
