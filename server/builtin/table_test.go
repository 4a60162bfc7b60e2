package builtin

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// TestTableIsUpstreams compares what we serve by default with upstream's
// record of kube-apiserver's discovery, which has all APIs on.
func TestTableIsUpstreams(t *testing.T) {
	table, _ := install(t, DefaultAPIs)
	dir := upstreamDiscovery(t)
	stable := regexp.MustCompile(`^v\d+$`)

	var upstreamGroups metav1.APIGroupList
	read(t, filepath.Join(dir, "apis.json"), &upstreamGroups)
	want := []string{" v1"}
	versions := []schema.GroupVersion{{Version: "v1"}}
	for _, group := range upstreamGroups.Groups {
		var served []string
		for _, v := range group.Versions {
			if stable.MatchString(v.Version) {
				served = append(served, v.Version)
				versions = append(versions, schema.GroupVersion{Group: group.Name, Version: v.Version})
			}
		}
		if len(served) > 0 {
			want = append(want, group.Name+" "+strings.Join(served, " "))
		}
	}
	var got []string
	for _, group := range table.Groups() {
		var served []string
		for _, v := range group.Versions {
			served = append(served, v.Version)
		}
		got = append(got, group.Name+" "+strings.Join(served, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups and versions, in order (-upstream +ours):\n%s", diff)
	}

	for _, gv := range versions {
		var upstream metav1.APIResourceList
		read(t, filepath.Join(dir, discoveryFile(gv)), &upstream)
		var ours []metav1.APIResource
		for _, row := range table.All() {
			if row.GroupVersion() == gv {
				ours = append(ours, discovered(row))
			}
		}
		// TokenRequest comes with an issuer of tokens.
		upstreamRows := slices.DeleteFunc(upstream.APIResources, func(r metav1.APIResource) bool {
			return r.Name == "serviceaccounts/token"
		})
		if diff := cmp.Diff(upstreamRows, ours); diff != "" {
			t.Errorf("%s (-upstream +ours):\n%s", gv, diff)
		}
	}
}

func discovered(row *resource.Resource) metav1.APIResource {
	r := metav1.APIResource{
		Name: row.Path(), SingularName: row.Singular, Namespaced: row.Namespaced, Kind: row.Kind.Kind,
		Verbs: row.Verbs, ShortNames: row.ShortNames, Categories: row.Categories, StorageVersionHash: row.StorageVersionHash,
	}
	if row.Kind.GroupVersion() != row.GroupVersion() {
		r.Group, r.Version = row.Kind.Group, row.Kind.Version
	}
	if r.Verbs == nil {
		r.Verbs = []string{}
	}
	return r
}

func TestObjectsAreFound(t *testing.T) {
	table, _ := install(t, DefaultAPIs)
	decorated := map[string]bool{"services": true, "persistentvolumeclaims": true}
	inOtherVersion := map[string]bool{
		"events.k8s.io/v1 events": true, "apiextensions.k8s.io/v1 customresourcedefinitions": true, "autoscaling/v1 horizontalpodautoscalers": true,
		"storagemigration.k8s.io/v1 storageversionmigrations": true, "certificates.k8s.io/v1 clustertrustbundles": true,
		"certificates.k8s.io/v1 podcertificaterequests": true, "resource.k8s.io/v1 devicetaintrules": true,
	}
	for _, row := range table.All() {
		lists := slices.Contains(row.Verbs, "list")
		if lists && row.Objects == nil && row.Resource != "componentstatuses" {
			t.Errorf("%s is listed but not in the cache", row)
		}
		if !lists {
			continue
		}
		want := !decorated[row.Resource] && !inOtherVersion[row.String()] && row.Objects != nil
		if row.Exact != want {
			t.Errorf("%s: Exact is %v, want %v", row, row.Exact, want)
		}
	}
	for path, want := range map[string]bool{
		"pods/status": true, "pods/ephemeralcontainers": true, "pods/resize": true, "pods/eviction": false,
		"pods/binding": false, "pods/log": false, "replicationcontrollers/scale": false, "namespaces/finalize": true,
		"services/status": true, "nodes/status": true, "resourcequotas/status": true,
	} {
		name, subresource, _ := strings.Cut(path, "/")
		row := table.Lookup(schema.GroupVersion{Version: "v1"}.WithResource(name), subresource)
		if row == nil {
			t.Errorf("%s is not served", path)
		} else if (row.Objects != nil) != want {
			t.Errorf("%s shares the object: %v, want %v", path, row.Objects != nil, want)
		}
	}
}

func TestRuntimeConfig(t *testing.T) {
	apis, err := APIs(map[string]string{"batch/v1": "false", "api/beta": "true", "networking.k8s.io/v1/ingresses": "false"})
	if err != nil {
		t.Fatal(err)
	}

	for gvr, want := range map[schema.GroupVersionResource]bool{
		{Group: "batch", Version: "v1", Resource: "jobs"}:                             false,
		{Group: "apps", Version: "v1", Resource: "deployments"}:                       true,
		{Group: "certificates.k8s.io", Version: "v1beta1", Resource: "anything"}:      true,
		{Group: "certificates.k8s.io", Version: "v1alpha1", Resource: "anything"}:     false,
		{Group: "admissionregistration.k8s.io", Version: "v1alpha1", Resource: "any"}: false,
	} {
		if got := apis.ResourceEnabled(gvr); got != want {
			t.Errorf("%v is on: %v, want %v", gvr, got, want)
		}
	}
	if _, err := APIs(map[string]string{"batch/v1": "perhaps"}); err == nil {
		t.Error("a value that is no boolean is taken")
	}
}

// install fills a table over a store that is never started: building rows must
// touch nothing.
func install(t testing.TB, apis func() *serverstorage.ResourceConfig) (*resource.Table, *Installed) {
	t.Helper()
	store, err := storage.New(storage.Options{Driver: noDriver{}})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := objects.NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	loopback := &restclient.Config{Host: "https://loopback.invalid"}
	client, err := kubernetes.NewForConfig(loopback)
	if err != nil {
		t.Fatal(err)
	}
	_, cidr, _ := net.ParseCIDR("10.0.0.0/24")
	table := resource.NewTable()
	installed, err := Install(table, Config{
		APIs: apis(), Getter: objects.NewGetter(store, factory), Loopback: loopback,
		Informers: informers.NewSharedInformerFactory(client, 0), ServiceCIDRs: []net.IPNet{*cidr},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(installed.Stop)
	return table, installed
}

type noDriver struct{ storage.Driver }

func upstreamDiscovery(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatalf("find the Kubernetes module: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "api", "discovery")
}

func discoveryFile(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api__v1.json"
	}
	return "apis__" + gv.Group + "__" + gv.Version + ".json"
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func BenchmarkInstall(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		install(b, DefaultAPIs)
	}
}
