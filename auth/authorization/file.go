package authorization

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
)

// readFile reads an AuthorizationConfiguration of apiserver.config.k8s.io.
func readFile(path string) (*apiserver.AuthorizationConfiguration, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read --authorization-config: %w", err)
	}
	c, err := parse(data, cel.NewDefaultCompiler())
	if err != nil {
		return nil, nil, fmt.Errorf("--authorization-config %s: %w", path, err)
	}
	return c, data, nil
}

func parse(data []byte, compiler cel.Compiler) (*apiserver.AuthorizationConfiguration, error) {
	c, err := load.LoadFromData(data)
	if err != nil {
		return nil, fmt.Errorf("failed to load AuthorizationConfiguration from file: %w", err)
	}
	invalid := validation.ValidateAuthorizationConfiguration(compiler, nil, c, sets.New(modes.AuthorizationModeChoices...), sets.New(modes.ModeWebhook))
	if err := invalid.ToAggregate(); err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range c.Authorizers {
		// What the flag --authorization-mode would call it.
		if want := strings.ToLower(string(a.Type)); a.Type != apiserver.TypeWebhook && a.Name != want {
			errs = append(errs, fmt.Errorf("expected name %s for authorizer %s instead of %s", want, a.Type, a.Name))
		}
	}
	return c, errors.Join(errs...)
}

// types are the built-in ones of a configuration.
func types(c *apiserver.AuthorizationConfiguration) sets.Set[apiserver.AuthorizerType] {
	found := sets.New[apiserver.AuthorizerType]()
	for _, a := range c.Authorizers {
		if a.Type != apiserver.TypeWebhook {
			found.Insert(a.Type)
		}
	}
	return found
}
