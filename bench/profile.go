package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/google/pprof/profile"
)

// A profiler takes CPU profiles of a server, one after the other, while it is at
// work: the go command builds it faster from them (https://go.dev/doc/pgo).
type profiler struct {
	client *http.Client
	url    string
	stop   context.CancelFunc
	parts  chan []*profile.Profile
}

// profileSeconds is how long one profile takes. What a server does while it ends
// or starts is in none.
const profileSeconds = 2

func startProfiler(ctx context.Context, s *system) (*profiler, error) {
	client, host, err := httpClient(s, 0)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	p := &profiler{
		client: client,
		url:    fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", host, profileSeconds),
		stop:   stop,
		parts:  make(chan []*profile.Profile, 1),
	}
	go func() {
		var parts []*profile.Profile
		for ctx.Err() == nil {
			part, err := p.take(ctx)
			if err == nil {
				parts = append(parts, part)
				continue
			}
			select { // the server is being restarted
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		p.parts <- parts
	}()
	return p, nil
}

func (p *profiler) take(ctx context.Context) (*profile.Profile, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", p.url, response.Status)
	}
	return profile.Parse(response.Body)
}

// write ends the profiler and writes the sum of its profiles to a file, without
// what would tell where they were taken: names of folders and of the program.
func (p *profiler) write(file string) error {
	p.stop()
	parts := <-p.parts
	if len(parts) == 0 {
		return fmt.Errorf("the server gave no CPU profile: scenarios took less than %d s, or it has --profiling=false", profileSeconds)
	}
	sum, err := profile.Merge(parts)
	if err != nil {
		return err
	}
	for _, mapping := range sum.Mapping {
		mapping.File = path.Base(mapping.File)
	}
	for _, function := range sum.Function {
		function.Filename = path.Base(function.Filename)
	}
	sum.Comments = nil
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := sum.Write(out); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
