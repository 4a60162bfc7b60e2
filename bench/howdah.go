package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// startHowdah starts the binary on the database (a throwaway PostgreSQL when
// endpoint is empty) and returns it ready. stop ends what was started.
func startHowdah(ctx context.Context, binary, endpoint string, flags []string) (*system, func(), error) {
	dir, err := os.MkdirTemp("", "howdah-bench-")
	if err != nil {
		return nil, nil, err
	}
	stops := []func(){func() { os.RemoveAll(dir) }}
	stop := func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	name := "howdah + PostgreSQL"
	switch endpoint {
	case "sqlite":
		name, endpoint = "howdah + SQLite", ""
	case "":
		postgres, stopPostgres, err := startPostgres(ctx)
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, stopPostgres)
		endpoint = postgres
	}
	port, err := freePort()
	if err != nil {
		stop()
		return nil, nil, err
	}
	var process *exec.Cmd
	start := func(ctx context.Context) (seconds float64, err error) {
		process, err = launch(binary, dir, port, endpoint, flags)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = waitReady(ctx, port)
		return time.Since(began).Seconds(), err
	}
	end := func() {
		if process == nil || process.Process == nil {
			return
		}
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
	}
	stops = append(stops, func() { end() })
	seconds, err := start(ctx)
	if err != nil {
		stop()
		return nil, nil, err
	}
	fmt.Fprintf(os.Stderr, "%s: empty start to ready in %.2f s\n", name, seconds)
	return &system{
		name:       name,
		kubeconfig: filepath.Join(dir, "admin.kubeconfig"),
		processes:  func() []int { return []int{process.Process.Pid} },
		restart: func(ctx context.Context) (float64, error) {
			end()
			return start(ctx)
		},
	}, stop, nil
}

func launch(binary, dir string, port int, endpoint string, flags []string) (*exec.Cmd, error) {
	arguments := []string{"server", "--data-dir", dir, "--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(port)}
	if endpoint != "" {
		arguments = append(arguments, "--datastore-endpoint", endpoint)
	}
	process := exec.Command(binary, append(arguments, flags...)...)
	process.Stdout, process.Stderr = os.Stderr, os.Stderr
	return process, process.Start()
}

// waitReady asks /readyz, which needs no credentials, until it says yes.
func waitReady(ctx context.Context, port int) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	url := fmt.Sprintf("https://127.0.0.1:%d/readyz", port)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		response, err := client.Get(url)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s", response.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w", url, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
