package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
)

// seenTimeout bounds every wait of a script.
const seenTimeout = 20 * time.Second

// A cluster is the servers that scripts talk to.
type cluster struct {
	servers     []*server
	environment map[string]string // of scripts, beside what all have
	calls       atomic.Int64
}

// A script is one run of a script file.
type script struct {
	cluster     *cluster
	kubeconfigs []string // one for each server, in the script's namespace
	cache       string   // of kubectl's discovery
	background  map[string]*background
}

// A background is a kubectl that runs beside its script.
type background struct {
	command *exec.Cmd
	output  lockedBuffer
	done    chan error
}

type scriptKey struct{}

// run runs the scripts that the pattern names, each in a namespace of its own.
func (c *cluster) run(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", pattern, err)
	}
	on := func(command func(*script, *testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			command(ts.Value(scriptKey{}).(*script), ts, neg, args)
		}
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		ContinueOnError:     true,
		Setup:               c.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"kubectl":    on((*script).kubectl),
			"background": on((*script).startBackground),
			"seen":       on((*script).seen),
			"interrupt":  on((*script).interrupt),
			"eventually": on((*script).eventually),
			"restart":    on((*script).restart),
			"user":       on((*script).user),
		},
	})
}

func (c *cluster) setup(env *testscript.Env) error {
	name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	s := &script{cluster: c, cache: filepath.Join(env.WorkDir, ".cache"), background: map[string]*background{}}
	for i, server := range c.servers {
		config, err := clientcmd.LoadFromFile(server.kubeconfig())
		if err != nil {
			return err
		}
		config.Contexts[config.CurrentContext].Namespace = name
		file := filepath.Join(env.WorkDir, fmt.Sprintf(".kubeconfig%d", i))
		if err := clientcmd.WriteToFile(*config, file); err != nil {
			return err
		}
		s.kubeconfigs = append(s.kubeconfigs, file)
	}
	env.Setenv("NS", name)
	env.Setenv("KUBECONFIG", s.kubeconfigs[0])
	env.Setenv("KUBECTL", kubectl)
	env.Setenv("SERVER", fmt.Sprintf("https://127.0.0.1:%d", c.servers[0].port))
	env.Setenv("KUBECTL_EXPLAIN_OPENAPIV3", "true")
	for name, value := range c.environment {
		env.Setenv(name, value)
	}
	env.Values[scriptKey{}] = s
	env.Defer(func() {
		for _, b := range s.background {
			b.command.Process.Kill()
			<-b.done
		}
	})
	create := exec.Command(kubectl, "--kubeconfig", s.kubeconfigs[0], "--cache-dir", s.cache, "create", "namespace", name)
	if output, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("make the script's namespace: %w\n%s", err, output)
	}
	return nil
}

// next are the arguments that send a call to the next server.
func (s *script) next(args []string) []string {
	i := int(s.cluster.calls.Add(1)) % len(s.kubeconfigs)
	return append([]string{"--kubeconfig", s.kubeconfigs[i], "--cache-dir", s.cache}, args...)
}

func (s *script) kubectl(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(kubectl, s.next(args)...)
	switch {
	case err == nil && neg:
		ts.Fatalf("unexpected success")
	case err != nil && !neg:
		ts.Fatalf("kubectl: %v", err)
	}
}

func (s *script) startBackground(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background NAME ARGS...")
	}
	b := &background{command: exec.Command(kubectl, s.next(args[1:])...), done: make(chan error, 1)}
	b.command.Dir = ts.Getenv("WORK")
	b.command.Stdout, b.command.Stderr = &b.output, &b.output
	ts.Check(b.command.Start())
	go func() { b.done <- b.command.Wait() }()
	s.background[args[0]] = b
}

func (s *script) named(ts *testscript.TestScript, name string) *background {
	b := s.background[name]
	if b == nil {
		ts.Fatalf("nothing runs in the background under the name %q", name)
	}
	return b
}

func (s *script) seen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: seen NAME REGEXP")
	}
	ts.Check(s.named(ts, args[0]).output.seen(regexp.MustCompile("(?m)"+args[1]), seenTimeout))
}

func (s *script) interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: interrupt NAME")
	}
	b := s.named(ts, args[0])
	delete(s.background, args[0])
	b.command.Process.Signal(os.Interrupt)
	<-b.done
	fmt.Fprint(ts.Stdout(), b.output.String())
}

func (s *script) eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP ARGS...")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	var output string
	for deadline := time.Now().Add(seenTimeout); time.Now().Before(deadline); {
		// Nothing tells when another server's cache has caught up, and each
		// call takes its own time.
		ts.Exec(kubectl, s.next(args[1:])...)
		if output = ts.ReadFile("stdout") + ts.ReadFile("stderr"); pattern.MatchString(output) {
			return
		}
	}
	ts.Fatalf("%q was not seen within %s, last:\n%s", args[0], seenTimeout, output)
}

func (s *script) restart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: restart")
	}
	for _, server := range s.cluster.servers {
		server.restart()
	}
}
