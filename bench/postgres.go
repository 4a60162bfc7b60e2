package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// startPostgres starts a throwaway server with PostgreSQL's default settings
// (commits are on disk before they are acknowledged) and returns its endpoint.
func startPostgres(ctx context.Context) (endpoint string, stop func(), err error) {
	binaries, err := postgresBinaries()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "howdah-bench-postgres-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	credential, err := unprivileged(dir)
	if err != nil {
		remove()
		return "", nil, err
	}
	command := func(ctx context.Context, name string, arguments ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(binaries, name), arguments...)
		c.Dir, c.Stderr = dir, os.Stderr
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		return c
	}
	data := filepath.Join(dir, "data")
	if err := command(ctx, "initdb", "-D", data, "-U", "howdah", "-A", "trust", "-E", "UTF8", "--locale=C").Run(); err != nil {
		remove()
		return "", nil, fmt.Errorf("initdb: %w", err)
	}
	port, err := freePort()
	if err != nil {
		remove()
		return "", nil, err
	}
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s", port, dir)
	if err := command(ctx, "pg_ctl", "-D", data, "-l", filepath.Join(dir, "log"), "-o", options, "-w", "start").Run(); err != nil {
		remove()
		return "", nil, fmt.Errorf("pg_ctl start: %w", err)
	}
	stop = func() {
		_ = command(context.WithoutCancel(ctx), "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop").Run()
		remove()
	}
	return fmt.Sprintf("postgres://howdah@127.0.0.1:%d/postgres?sslmode=disable", port), stop, nil
}

// postgresBinaries finds initdb and pg_ctl.
func postgresBinaries() (string, error) {
	var candidates []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.Reverse(installed)
	for _, dir := range append(candidates, installed...) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL's server is not installed (Debian: apt-get install postgresql), or give -datastore-endpoint")
}

// unprivileged is whom to run PostgreSQL as, since it refuses to run as root;
// nil: as ourselves. The user gets the directory.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}
