package objects

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/kubernetes/pkg/apis/core"
	podregistry "k8s.io/kubernetes/pkg/registry/core/pod"
	secretstorage "k8s.io/kubernetes/pkg/registry/core/secret/storage"
	csidriverstorage "k8s.io/kubernetes/pkg/registry/storage/csidriver/storage"

	"github.com/howdah/howdah/storage"
)

func newGetter(t *testing.T) *Getter {
	t.Helper()
	storages, err := NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	sqlite := databases()[0]
	bytes, err := storage.New(storage.Options{Driver: sqlite.driver(t, sqlite.fresh(t))})
	if err != nil {
		t.Fatal(err)
	}
	return NewGetter(bytes, storages)
}

func TestGetterKeys(t *testing.T) {
	g := newGetter(t)
	for _, test := range []struct {
		group, resource, prefix string
	}{
		{"", "pods", "pods"},
		{"", "services", "services/specs"},
		{"", "endpoints", "services/endpoints"},
		{"", "nodes", "minions"},
		{"", "replicationcontrollers", "controllers"},
		{"", "events", "events"},
		{"events.k8s.io", "events", "events"},
		{"apps", "deployments", "deployments"},
		{"networking.k8s.io", "ingresses", "ingress"},
		{"coordination.k8s.io", "leases", "leases"},
	} {
		options, err := g.GetRESTOptions(schema.GroupResource{Group: test.group, Resource: test.resource}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if options.ResourcePrefix != test.prefix {
			t.Errorf("%s is at %s, want %s", test.resource, options.ResourcePrefix, test.prefix)
		}
		if !options.EnableGarbageCollection || options.DeleteCollectionWorkers != 1 || options.CountMetricPollPeriod != 0 {
			t.Errorf("%s: %+v", test.resource, options)
		}
	}
}

func TestGetterStores(t *testing.T) {
	g := newGetter(t)
	if _, err := secretstorage.NewREST(g); err != nil {
		t.Fatal(err)
	}
	if _, err := csidriverstorage.NewStorage(g); err != nil {
		t.Fatal(err)
	}
	secrets := g.Store(core.Resource("secrets"))
	if secrets == nil {
		t.Fatal("no store of secrets")
	}
	if secrets.Prefix() != "/registry/secrets/" || secrets.Key("ns", "a") != "/registry/secrets/ns/a" || secrets.StorageVersion().String() != "v1" {
		t.Errorf("%s %s %s", secrets.Prefix(), secrets.Key("ns", "a"), secrets.StorageVersion())
	}
	drivers := g.Store(schema.GroupResource{Group: "storage.k8s.io", Resource: "csidrivers"})
	if drivers.Key("", "a") != "/registry/csidrivers/a" || drivers.StorageVersion().String() != "storage.k8s.io/v1" {
		t.Errorf("%s %s", drivers.Key("", "a"), drivers.StorageVersion())
	}
	if g.Store(core.Resource("pods")) != nil {
		t.Error("there is a store of pods")
	}
}

func TestGetterSharesStores(t *testing.T) {
	g := newGetter(t)
	resource := core.Resource("pods")
	open := func() any {
		options, err := g.GetRESTOptions(resource, &core.Pod{})
		if err != nil {
			t.Fatal(err)
		}
		var decorator generic.StorageDecorator = options.Decorator
		s, _, err := decorator(options.StorageConfig, "/pods", nil, func() runtime.Object { return &core.Pod{} }, nil,
			podregistry.GetAttrs, nil, podregistry.Indexers())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if open() != open() {
		t.Error("two stores of one resource")
	}
	if got := indexNames(nil, podregistry.Indexers()); !slices.Equal(got, []string{"spec.nodeName"}) {
		t.Errorf("indexes %v", got)
	}
}
