package e2e

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/howdah/howdah/storage/storagetest"
)

var (
	conformanceFocus   = flag.String("conformance.focus", "", "regular expression of the conformance tests to run, all for conformance/tests.txt, or more for conformance/more.txt; a quick part of it by default")
	conformanceProcs   = flag.Int("conformance.procs", 10, "processes that run conformance tests at the same time")
	conformanceServers = flag.Int("conformance.servers", 1, "servers behind one address; with more than one, one of them is restarted every minute")
	conformanceReports = flag.String("conformance.reports", "", "folder for junit.xml, report.json and conformance.md")
)

// conformanceTests are those of Kubernetes' conformance tests that can pass
// without real containers, one full name a line.
//
//go:embed conformance/tests.txt
var conformanceTests string

// moreTests are those of the suite that no conformance needs, of features that are on
// by default, and that can pass without real containers.
//
//go:embed conformance/more.txt
var moreTests string

// quickTests is what the part that always runs is chosen by: tests of the API
// that need seconds.
var quickTests = regexp.MustCompile(`(API operations|Discovery|ResourceQuota|ConfigMap should|Secrets should|EndpointSlice|server version|Table transformation|ValidatingAdmissionPolicy|field validation|kubectl (label|version|api-versions|patch|diff|cluster-info|proxy)|Lease|Events|RuntimeClass)`)

// TestConformance runs Kubernetes' own conformance tests
// (https://github.com/cncf/k8s-conformance) on PostgreSQL, with KWOK's nodes.
func TestConformance(t *testing.T) {
	names := strings.Split(strings.TrimSpace(conformanceTests), "\n")
	focus := *conformanceFocus
	switch focus {
	case "all":
		focus = anyOf(names)
	case "more":
		names = strings.Split(strings.TrimSpace(moreTests), "\n")
		focus = anyOf(names)
	case "":
		if testing.Short() {
			t.Skip("takes minutes")
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !quickTests.MatchString(name) })
		focus = anyOf(names)
	default:
		names = nil
	}
	reports := *conformanceReports
	if reports == "" {
		reports = t.TempDir()
	}
	database := storagetest.Postgres(t)
	servers := make([]*server, *conformanceServers)
	for i := range servers {
		if len(servers) == 1 {
			servers[i] = newServer(t, database)
			continue
		}
		// Some tests watch for a minute and don't watch again when a server goes.
		const delay = 50 * time.Second
		servers[i] = newServer(t, database, "--shutdown-delay-duration", delay.String())
		servers[i].delay = delay
	}
	kubeconfig := servers[0].kubeconfig()
	if len(servers) > 1 {
		kubeconfig = behindOneAddress(t, servers)
		restartInTurn(t, servers, time.Minute)
	}
	servers[0].kwok()
	addNodes(t, must(kubernetes.NewForConfig(servers[0].config()))(t), 3)
	runSuite(t, kubeconfig, focus, reports)
	tests, err := readReport(filepath.Join(reports, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	table := conformanceTable(tests)
	t.Log("\n" + table)
	if err := os.WriteFile(filepath.Join(reports, "conformance.md"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, test := range tests {
		ran[test.name] = true
		if test.failed {
			t.Errorf("%s: %s", test.name, test.why)
		}
	}
	for _, name := range names {
		if !ran[name] {
			t.Errorf("%s: was not run", name)
		}
	}
	if len(tests) == 0 {
		t.Error("no test was run: what does the focus match?")
	}
}

// anyOf is the expression that matches each of the names and nothing else.
func anyOf(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return "(" + strings.Join(quoted, "|") + ")$"
}

// runSuite builds the suite and the runner of its processes, and runs them.
// Tests that fail are the report's to tell.
func runSuite(t *testing.T, kubeconfig, focus, reports string) {
	t.Helper()
	suite, ginkgo := os.Getenv("HOWDAH_E2E_CONFORMANCE"), os.Getenv("HOWDAH_E2E_GINKGO")
	for program, build := range map[*string][]string{
		&suite:  {"test", "-c", "./conformance"},
		&ginkgo: {"build", "github.com/onsi/ginkgo/v2/ginkgo"},
	} {
		if *program != "" {
			continue
		}
		*program = filepath.Join(t.TempDir(), filepath.Base(build[len(build)-1])+".test")
		arguments := append(slices.Clone(build[:len(build)-1]), "-o", *program, build[len(build)-1])
		if output, err := exec.Command("go", arguments...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", arguments, err, output)
		}
	}
	log, err := os.Create(filepath.Join(reports, "e2e.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := exec.CommandContext(t.Context(), ginkgo, "--procs", fmt.Sprint(*conformanceProcs), "--no-color", "--silence-skips", "--timeout", "90m",
		"--output-dir", reports, "--json-report", "report.json", "--junit-report", "junit.xml", "--focus", focus, suite, "--",
		"--kubeconfig", kubeconfig, "--provider", "skeleton", "--kubectl-path", kubectl, "--disable-log-dump", "--allowed-not-ready-nodes", "-1")
	run.Stdout, run.Stderr = log, log
	err = run.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
}

// conformanceTest is the outcome of one test.
type conformanceTest struct {
	sig, name string
	failed    bool
	why       string
	took      time.Duration
}

// readReport reads a JSON report of ginkgo's.
func readReport(file string) ([]conformanceTest, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the suite has not run: %w", err)
	}
	var reports []struct {
		SpecReports []struct {
			ContainerHierarchyTexts []string
			LeafNodeText            string
			LeafNodeType            string
			State                   string
			RunTime                 time.Duration
			Failure                 struct{ Message string }
		}
	}
	if err := json.Unmarshal(data, &reports); err != nil {
		return nil, err
	}
	var tests []conformanceTest
	for _, report := range reports {
		for _, spec := range report.SpecReports {
			name := strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " ")
			failed := spec.State != "passed"
			if spec.State == "skipped" || spec.State == "pending" || spec.LeafNodeType != "It" && !failed {
				continue
			}
			sig, _, _ := strings.Cut(strings.TrimPrefix(name, "["), "]")
			if spec.LeafNodeType != "It" {
				sig, name = spec.LeafNodeType, spec.LeafNodeType
			}
			why, _, _ := strings.Cut(spec.Failure.Message, "\n")
			tests = append(tests, conformanceTest{sig: sig, name: name, failed: failed, why: why, took: spec.RunTime})
		}
	}
	slices.SortFunc(tests, func(a, b conformanceTest) int { return strings.Compare(a.name, b.name) })
	return tests, nil
}

// conformanceTable is what docs/conformance.md shows.
func conformanceTable(tests []conformanceTest) string {
	type counts struct{ passed, failed int }
	groups := map[string]*counts{}
	var names []string
	total := &counts{}
	for _, test := range tests {
		group := groups[test.sig]
		if group == nil {
			group = &counts{}
			groups[test.sig], names = group, append(names, test.sig)
		}
		for _, c := range []*counts{group, total} {
			if test.failed {
				c.failed++
			} else {
				c.passed++
			}
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("| group | passed | failed |\n| --- | --- | --- |\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", name, groups[name].passed, groups[name].failed)
	}
	fmt.Fprintf(&b, "| all | %d | %d |\n", total.passed, total.failed)
	for _, test := range tests {
		if test.failed {
			fmt.Fprintf(&b, "\n- %s: %s", test.name, test.why)
		}
	}
	return b.String()
}
