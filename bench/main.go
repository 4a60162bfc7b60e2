// Command bench drives Kubernetes API servers with the same work and prints a
// table, one column a server, so that two servers are compared in one run.
//
//	bench -howdah ../bin/howdah                        # a throwaway PostgreSQL and a server of our own
//	bench -peer kube-apiserver=/path/to/kubeconfig ... # a peer beside it
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// load is how much work the scenarios do.
type load struct {
	nodes, pods, namespaces int
	clients                 int // concurrent clients, each with its own connection
	operations              int // of get, patch and churn
	rounds                  int // of list and lease
	watchers, rate          int // of watch, and its writes a second
	seconds                 int // of watch and latency
	shape                   string
}

// A system is one server under test.
type system struct {
	name       string
	kubeconfig string
	processes  func() []int // of the API and its store (not PostgreSQL); nil when unknown
	restart    func(context.Context) (seconds float64, err error)
	schedule   func(ctx context.Context, on bool) error // starts or stops a scheduler; nil when one can't
}

// A result is one line of the table for one system.
type result struct {
	Scenario string         `json:"scenario"`
	System   string         `json:"system"`
	Headline string         `json:"headline"`
	Figures  map[string]any `json:"figures"`
}

// scenarios in the order in which they build on each other.
var scenarios = []struct {
	name string
	help string
	run  func(context.Context, *system, load) ([]result, error)

	// alone scenarios need a cluster of their own, so they run only if named.
	alone bool
}{
	{"populate", "create nodes and pods", populate, false},
	{"get", "get pods", get, false},
	{"patch", "strategic merge patch of pod status", patchStatus, false},
	{"lease", "renew node leases", leases, false},
	{"churn", "create and delete configmaps", churn, false},
	{"list", "lists of pods in every form", lists, false},
	{"watch", "one writer, many watchers", watchFanout, false},
	{"memory", "resident memory after that", memory, false},
	{"restart", "restart with that data until ready", restart, false},
	{"custom", "custom resources beside built-in ones, and what an admission policy costs", custom, true},
	{"definitions", "memory of 1,020 definitions of cert-manager's size, which the go command fetches", definitions, true},
	{"schedule", "create pods and have them bound, with few objects beside (-pods 10000)", schedule, true},
	{"shapes", "bind pods that are there when the scheduler starts, in scheduler_perf's shapes (-nodes 5000 -pods 2000)", shapes, true},
	{"latency", "create pods at -rate a second, until each is seen bound", latency, true},
	{"deploy", "create one Deployment and have all its pods (-pods 5000)", deploy, true},
	{"roll", "create, roll and delete Deployments of 10 pods (-pods 10000, no scheduler)", roll, true},
	{"collect", "delete the owner of configmaps (-pods 20000)", collect, true},
	{"endpoints", "a Service of pods of which one changes (-pods 5000 -nodes 50)", endpoints, true},
	{"outage", "nodes that fall silent, one after the other, until their pods run elsewhere (-pods 1000 -nodes 20, with a scheduler and --node-monitor-grace-period=10s)", outage, true},
	{"idle", "nodes that renew their leases, and pods, without other work", idle, true},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var l load
	var peers []*system
	flag.IntVar(&l.nodes, "nodes", 1000, "nodes")
	flag.IntVar(&l.pods, "pods", 30000, "pods")
	flag.IntVar(&l.namespaces, "namespaces", 30, "namespaces that the pods are spread over")
	flag.IntVar(&l.clients, "clients", 64, "concurrent clients")
	flag.IntVar(&l.operations, "operations", 10000, "operations of get, patch and churn")
	flag.IntVar(&l.rounds, "rounds", 5, "rounds of list and lease; nodes that die in outage")
	flag.IntVar(&l.watchers, "watchers", 200, "watchers")
	flag.IntVar(&l.rate, "rate", 100, "writes a second of the watch scenario, pods a second of latency")
	flag.IntVar(&l.seconds, "seconds", 20, "seconds of the watch and latency scenarios")
	flag.StringVar(&l.shape, "shape", "", "only this one of the shapes")
	only := flag.String("only", "", "scenarios to run, with commas; by default those that don't need a cluster of their own")
	binary := flag.String("howdah", "", "start this howdah binary on a throwaway PostgreSQL")
	endpoint := flag.String("datastore-endpoint", "", "with -howdah: this database instead of a throwaway one; \"sqlite\": the embedded one")
	flags := flag.String("howdah-flags", "", "with -howdah: further flags of the server, with spaces")
	secured := flag.Bool("secured", false, "with -howdah: start it twice, without and with everything of docs/security.md, to see what that costs")
	profiled := flag.String("profile", "", "with -howdah: write the server's CPU profile of all scenarios to this file (with -secured, the secured one's)")
	asJSON := flag.Bool("json", false, "print one JSON line a figure instead of the table")
	flag.Func("peer", "NAME=KUBECONFIG[,PID...] of a running server to measure, too; may be repeated", func(value string) error {
		peer, err := parsePeer(value)
		peers = append(peers, peer)
		return err
	})
	var schedulers []scheduler
	flag.Func("scheduler", "NAME=COMMAND of a scheduler to measure with shapes and latency, by a shell with $KUBECONFIG; may be repeated", func(value string) error {
		name, command, found := strings.Cut(value, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=COMMAND", value)
		}
		schedulers = append(schedulers, scheduler{name, command})
		return nil
	})
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "bench measures API servers side by side. Scenarios:")
		for _, s := range scenarios {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", s.name, s.help)
		}
		flag.PrintDefaults()
	}
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	systems := peers
	var own *system
	switch {
	case *binary != "" && *secured && *endpoint != "" && *endpoint != "sqlite":
		return fmt.Errorf("-secured needs two databases: leave -datastore-endpoint out, or say sqlite")
	case *binary != "" && *secured:
		off, on, stop, err := startBoth(ctx, *binary, *endpoint, strings.Fields(*flags))
		if err != nil {
			return err
		}
		defer stop()
		own, systems = on, append([]*system{off, on}, peers...)
	case *binary != "":
		started, stop, err := startHowdah(ctx, *binary, *endpoint, strings.Fields(*flags))
		if err != nil {
			return err
		}
		defer stop()
		own = started
		systems = append([]*system{own}, peers...)
	}
	if len(systems) == 0 {
		return fmt.Errorf("nothing to measure: give -howdah or -peer")
	}
	if *profiled != "" && own == nil {
		return fmt.Errorf("-profile needs -howdah")
	}
	if len(schedulers) > 0 {
		systems = withSchedulers(systems, schedulers)
	}
	wanted := strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	var results []result
	var profiling *profiler
	if *profiled != "" {
		var err error
		if profiling, err = startProfiler(ctx, own); err != nil {
			return err
		}
	}
	for _, scenario := range scenarios {
		if named := slices.Contains(wanted, scenario.name); !named && (scenario.alone || len(wanted) > 0) {
			continue
		}
		for _, s := range systems {
			fmt.Fprintf(os.Stderr, "%s on %s\n", scenario.name, s.name)
			rows, err := scenario.run(ctx, s, l)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", scenario.name, s.name, err)
			}
			for _, row := range rows {
				row.System = s.name
				results = append(results, row)
				if *asJSON {
					line, err := json.Marshal(row)
					if err != nil {
						return err
					}
					fmt.Println(string(line))
				}
			}
		}
	}
	if !*asJSON {
		printTable(systems, results)
	}
	if profiling != nil {
		return profiling.write(*profiled)
	}
	return nil
}

func printTable(systems []*system, results []result) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprint(t, "scenario")
	for _, s := range systems {
		fmt.Fprint(t, "\t", s.name)
	}
	fmt.Fprintln(t)
	var names []string
	cells := map[string]map[string]string{}
	for _, r := range results {
		if cells[r.Scenario] == nil {
			names = append(names, r.Scenario)
			cells[r.Scenario] = map[string]string{}
		}
		cells[r.Scenario][r.System] = r.Headline
	}
	for _, name := range names {
		fmt.Fprint(t, name)
		for _, s := range systems {
			fmt.Fprint(t, "\t", cells[name][s.name])
		}
		fmt.Fprintln(t)
	}
}
