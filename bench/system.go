package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

var errNoProcesses = errors.New("name the processes of the peer: -peer NAME=KUBECONFIG,PID,PID")

// parsePeer reads NAME=KUBECONFIG[,PID...].
func parsePeer(value string) (*system, error) {
	name, rest, found := strings.Cut(value, "=")
	fields := strings.Split(rest, ",")
	if !found || name == "" || fields[0] == "" {
		return nil, fmt.Errorf("%q is not NAME=KUBECONFIG[,PID...]", value)
	}
	peer := &system{name: name, kubeconfig: fields[0]}
	var pids []int
	for _, field := range fields[1:] {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("%q is not a process ID", field)
		}
		pids = append(pids, pid)
	}
	if len(pids) > 0 {
		peer.processes = func() []int { return pids }
	}
	return peer, nil
}

// memory reports the resident memory of the system's processes as the kernel
// counts it.
func memory(_ context.Context, s *system, _ load) ([]result, error) {
	if s.processes == nil {
		return []result{{Scenario: "memory", Headline: "-", Figures: map[string]any{"why": errNoProcesses.Error()}}}, nil
	}
	total, err := s.resident()
	if err != nil {
		return nil, err
	}
	megabytes := total >> 20
	return []result{{Scenario: "memory", Headline: fmt.Sprintf("%d MB", megabytes), Figures: map[string]any{"resident_mb": megabytes}}}, nil
}

// resident is the memory of all processes of the system.
func (s *system) resident() (total int64, err error) {
	for _, pid := range s.processes() {
		bytes, err := resident(pid)
		if err != nil {
			return 0, err
		}
		total += bytes
	}
	return total, nil
}

// resident returns VmRSS of a process in bytes.
func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, found := strings.CutPrefix(line, "VmRSS:"); found {
			n, err := strconv.ParseInt(strings.Fields(kilobytes)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no resident memory", pid)
}

// cpu is the time that the system's processes have had of processors.
func (s *system) cpu() (time.Duration, error) {
	if s.processes == nil {
		return 0, errNoProcesses
	}
	var ticks int64
	for _, pid := range s.processes() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name of the program, in parentheses, may have spaces.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] { // user and system time: proc_pid_stat(5)
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / 100, nil // Linux counts in hundredths
}

// addCPU adds what each of the operations took of the system's processors.
func (r *result) addCPU(used time.Duration, operations int) {
	each := used.Seconds() * 1000 / float64(operations)
	r.Headline += fmt.Sprintf(", %.2f ms of CPU each", each)
	r.Figures["cpu_ms_each"] = each
}

func restart(ctx context.Context, s *system, _ load) ([]result, error) {
	if s.restart == nil {
		return []result{{Scenario: "restart", Headline: "-", Figures: map[string]any{"why": "only a server that the benchmark started can be restarted"}}}, nil
	}
	seconds, err := s.restart(ctx)
	if err != nil {
		return nil, err
	}
	return []result{{Scenario: "restart", Headline: fmt.Sprintf("%.2f s", seconds), Figures: map[string]any{"seconds": seconds}}}, nil
}
