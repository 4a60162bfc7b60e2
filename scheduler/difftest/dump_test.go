package difftest

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var dump = flag.String("dump", "", "a file to write the first cluster to")

// TestDump writes a generated cluster, for looking at a difference.
func TestDump(t *testing.T) {
	if *dump == "" {
		t.Skip("-dump names no file")
	}
	w := generate(*first)
	data, err := json.MarshalIndent(map[string]any{
		"nodes": w.nodes, "running": w.running, "nominated": w.nominated, "pending": w.pending, "namespaces": w.namespaces,
		"services": w.services, "replicaSets": w.sets, "budgets": w.budgets, "claims": w.storage.claims, "volumes": w.storage.volumes, "csiNodes": w.storage.csiNodes, "capacities": w.storage.capacities,
		"classes": w.devices.classes, "slices": w.devices.slices, "deviceClaims": w.devices.claims,
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*dump, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
