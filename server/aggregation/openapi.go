package aggregation

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/howdah/howdah/server/openapi"
)

var _ openapi.Source = (*Services)(nil)

const openapiRoot = "/openapi/v3"

// documentPath names the group version as documents of OpenAPI v3 do: its path
// without the first slash.
func (r *remote) documentPath() string { return "apis/" + r.gv.Group + "/" + r.gv.Version }

// openapiHash is what the server calls its present document of the group
// version; empty when it has none.
func (r *remote) openapiHash(ctx context.Context) string {
	body, err := r.get(ctx, openapiRoot, "application/json")
	if err != nil {
		return ""
	}
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(body, &index); err != nil {
		return ""
	}
	location, err := url.Parse(index.Paths[r.documentPath()].ServerRelativeURL)
	if err != nil {
		return ""
	}
	return location.Query().Get("hash")
}

// shown are the remotes whose group versions are not built in.
func (s *Services) shown() map[schema.GroupVersion]*remote {
	shown := map[schema.GroupVersion]*remote{}
	for gv, one := range *s.remote.Load() {
		if !s.builtIn(gv) {
			shown[gv] = one
		}
	}
	return shown
}

// Tags implements [openapi.Source], as do the following.
func (s *Services) Tags() map[string]string {
	tags := map[string]string{}
	for _, one := range s.shown() {
		if found := one.found.Load(); found != nil && found.openapi != "" && one.available.Load() {
			tags[one.documentPath()] = found.openapi
		}
	}
	return tags
}

func (s *Services) V3(ctx context.Context, path string) ([]byte, error) {
	one := s.shown()[versionOf("/"+path)]
	if one == nil {
		return nil, fmt.Errorf("%s is no longer served", path)
	}
	return one.get(ctx, openapiRoot+"/"+path, "application/json")
}

// AddV2 leaves out what a server doesn't tell in time.
func (s *Services) AddV2(ctx context.Context, swagger *spec.Swagger) (*spec.Swagger, error) {
	for _, one := range s.shown() {
		if !one.available.Load() {
			continue
		}
		body, err := one.get(ctx, "/openapi/v2", "application/json")
		if err != nil {
			continue
		}
		theirs := &spec.Swagger{}
		if err := json.Unmarshal(body, theirs); err != nil {
			continue
		}
		theirs = aggregator.FilterSpecByPathsWithoutSideEffects(theirs, []string{"/" + one.documentPath() + "/"})
		whole := *swagger
		if err := aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(&whole, theirs); err != nil {
			s.log.Debug("an aggregated API server's OpenAPI document can't be merged", "apiservice", one.name, "err", err)
			continue
		}
		swagger = &whole
	}
	return swagger, nil
}
