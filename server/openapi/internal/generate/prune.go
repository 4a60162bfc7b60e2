package main

import (
	"maps"
	"strings"
)

// prune leaves in an OpenAPI v2 document what a server with default settings
// serves: no alpha and beta versions, and nothing that no path refers to.
func prune(swagger map[string]any) {
	paths := swagger["paths"].(map[string]any)
	groups := map[string]bool{} // with a version that is served
	for path := range paths {
		if parts := split(path); len(parts) > 2 && parts[0] == "apis" && served(parts) {
			groups[parts[1]] = true
		}
	}
	maps.DeleteFunc(paths, func(path string, _ any) bool {
		parts := split(path)
		return !served(parts) || len(parts) == 2 && parts[0] == "apis" && !groups[parts[1]]
	})

	used := map[string]bool{}
	pending := []any{paths}
	for len(pending) > 0 {
		node := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		references(node, func(reference string) {
			if used[reference] {
				return
			}
			used[reference] = true
			kind, name, _ := strings.Cut(strings.TrimPrefix(reference, "#/"), "/")
			pending = append(pending, swagger[kind].(map[string]any)[name])
		})
	}
	for _, kind := range []string{"definitions", "parameters"} {
		maps.DeleteFunc(swagger[kind].(map[string]any), func(name string, _ any) bool {
			return !used["#/"+kind+"/"+name]
		})
	}
}

// split returns the segments of a path: "/apis/apps/v1/deployments".
func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

func served(parts []string) bool {
	switch parts[0] {
	case "version", "api":
		return true
	case "apis":
		return len(parts) < 3 || !strings.Contains(parts[2], "alpha") && !strings.Contains(parts[2], "beta")
	}
	return false
}

// references calls found for each {"$ref": ...} in a JSON value.
func references(node any, found func(string)) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if reference, ok := value.(string); ok && key == "$ref" {
				found(reference)
				continue
			}
			references(value, found)
		}
	case []any:
		for _, value := range node {
			references(value, found)
		}
	}
}
