package main

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// A scheduler is a program that binds the pods of a system.
type scheduler struct{ name, command string }

// withSchedulers has each system measured with each scheduler. The systems
// themselves are to have none.
func withSchedulers(systems []*system, schedulers []scheduler) []*system {
	var all []*system
	for _, s := range systems {
		for _, scheduler := range schedulers {
			all = append(all, s.with(scheduler, len(systems) > 1))
		}
	}
	return all
}

func (s *system) with(sc scheduler, several bool) *system {
	one := *s
	one.name, one.restart = sc.name, nil
	if several {
		one.name += " on " + s.name
	}
	var process *exec.Cmd
	one.schedule = func(_ context.Context, on bool) error {
		switch {
		case on && process == nil:
			process = exec.Command("/bin/sh", "-c", "exec "+sc.command)
			process.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
			process.Stdout, process.Stderr = os.Stderr, os.Stderr
			return process.Start()
		case !on && process != nil:
			stopped := process
			process = nil
			err := stopped.Process.Signal(syscall.SIGTERM)
			_ = stopped.Wait()
			return err
		}
		return nil
	}
	if s.processes != nil {
		one.processes = func() []int {
			if process == nil {
				return s.processes()
			}
			return append(s.processes(), process.Process.Pid)
		}
	}
	return &one
}
