package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	// definitionsModule has real definitions of which copies are made.
	definitionsModule = "github.com/cert-manager/cert-manager@v1.21.2"
	// definitionCopies of six definitions are 1,020.
	definitionCopies = 170
	// settling is how long a server is left alone before its memory is read.
	settling = 3 * time.Minute
)

// definitions creates copies of cert-manager's definitions, each in groups of its
// own, and says how much resident memory they take once the server is quiet again.
func definitions(ctx context.Context, s *system, _ load) ([]result, error) {
	if s.processes == nil {
		return nil, errNoProcesses
	}
	originals, err := certManagerDefinitions(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := clientsets(s, 4)
	if err != nil {
		return nil, err
	}
	groups, err := servedGroups(clients[0])
	if err != nil {
		return nil, err
	}
	before, err := s.settled(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	total := len(originals) * definitionCopies
	used, err := s.cpu()
	if err != nil {
		return nil, err
	}
	created := s.fan(len(clients), total, func(w, i int) error {
		return post(ctx, clients[w], definitionsPath, originals[i%len(originals)].copy(i/len(originals)))
	})
	if created.errors > 0 {
		return nil, fmt.Errorf("%d definitions could not be created", created.errors)
	}
	for distinct := groupsOf(originals) * definitionCopies; ; {
		now, err := servedGroups(clients[0])
		if err != nil {
			return nil, err
		}
		if now >= groups+distinct {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	served := time.Since(began)
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	memory, err := s.settled(ctx)
	if err != nil {
		return nil, err
	}
	one := result{
		Scenario: fmt.Sprintf("%d definitions of cert-manager's size", total),
		Headline: fmt.Sprintf("%d MB more than %d MB, served after %.0f s", (memory-before)>>20, before>>20, served.Seconds()),
		Figures:  map[string]any{"before_mb": before >> 20, "more_mb": (memory - before) >> 20, "served_s": served.Seconds()},
	}
	one.addCPU(after-used, total)
	return []result{one}, nil
}

// settled is the resident memory of the system's processes after a while without work.
func (s *system) settled(ctx context.Context) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settling):
	}
	return s.resident()
}

// An original is a definition to be copied, in JSON.
type original struct {
	group    string
	document []byte
}

// copy is the definition in another group.
func (o original) copy(i int) []byte {
	return bytes.ReplaceAll(o.document, []byte(o.group+`"`), fmt.Appendf(nil, `%s.x%d.test"`, o.group, i))
}

func groupsOf(originals []original) int {
	groups := map[string]bool{}
	for _, o := range originals {
		groups[o.group] = true
	}
	return len(groups)
}

// certManagerDefinitions have the go command fetch the module.
func certManagerDefinitions(ctx context.Context) ([]original, error) {
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", definitionsModule)
	command.Dir = os.TempDir() // in no module
	output, err := command.Output()
	var module struct{ Dir, Error string }
	if decoding := json.Unmarshal(output, &module); decoding != nil || module.Dir == "" {
		return nil, fmt.Errorf("fetch %s: %s (%v)", definitionsModule, module.Error, err)
	}
	files, err := filepath.Glob(filepath.Join(module.Dir, "deploy", "crds", "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []original
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		document, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var read struct {
			Spec struct{ Group string }
		}
		if err := json.Unmarshal(document, &read); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, original{read.Spec.Group, document})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no definitions", definitionsModule)
	}
	return all, nil
}

func servedGroups(client *kubernetes.Clientset) (int, error) {
	var list metav1.APIGroupList
	answer, err := client.Discovery().RESTClient().Get().AbsPath("/apis").SetHeader("Accept", jsonType).DoRaw(context.Background())
	if err == nil {
		err = json.Unmarshal(answer, &list)
	}
	return len(list.Groups), err
}
