package objects

import (
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	apitesting "k8s.io/kubernetes/pkg/api/testing"
	"k8s.io/kubernetes/pkg/apis/certificates"
	"k8s.io/kubernetes/pkg/apis/core"
	ctbstorage "k8s.io/kubernetes/pkg/registry/certificates/clustertrustbundle/storage"
	pcrstorage "k8s.io/kubernetes/pkg/registry/certificates/podcertificaterequest/storage"

	replicasetregistry "k8s.io/kubernetes/pkg/registry/apps/replicaset"
	jobregistry "k8s.io/kubernetes/pkg/registry/batch/job"
	csrregistry "k8s.io/kubernetes/pkg/registry/certificates/certificates"
	leasecandidateregistry "k8s.io/kubernetes/pkg/registry/coordination/leasecandidate"
	configmapregistry "k8s.io/kubernetes/pkg/registry/core/configmap"
	eventregistry "k8s.io/kubernetes/pkg/registry/core/event"
	namespaceregistry "k8s.io/kubernetes/pkg/registry/core/namespace"
	noderegistry "k8s.io/kubernetes/pkg/registry/core/node"
	pvregistry "k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	pvcregistry "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	podregistry "k8s.io/kubernetes/pkg/registry/core/pod"
	rcregistry "k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	secretregistry "k8s.io/kubernetes/pkg/registry/core/secret"
	serviceregistry "k8s.io/kubernetes/pkg/registry/core/service"
	claimregistry "k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	claimtemplateregistry "k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	sliceregistry "k8s.io/kubernetes/pkg/registry/resource/resourceslice"
)

// A builtin is one built-in resource with its store, which has no database.
type builtin struct {
	resource   schema.GroupResource
	store      *Store
	codec      runtime.Codec
	attributes apistorage.AttrFunc
}

// builtins are all kinds of the built-in scheme that can be stored.
func builtins(t testing.TB) []builtin {
	t.Helper()
	storages, err := NewStorageFactory()
	if err != nil {
		t.Fatal(err)
	}
	special := upstreamAttributes(t, storages)
	var all []builtin
	for kind, typ := range legacyscheme.Scheme.AllKnownTypes() {
		obj, ok := reflect.New(typ).Interface().(runtime.Object)
		if !ok || kind.Version != runtime.APIVersionInternal {
			continue
		}
		if _, ok := obj.(metav1.Object); !ok {
			continue
		}
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		resource := plural.GroupResource()
		switch {
		case resource == schema.GroupResource{Resource: "endpointses"}:
			resource.Resource = "endpoints"
		case resource == schema.GroupResource{Resource: "componentstatuses"}: // is not stored
			continue
		}
		config, err := storages.NewConfig(resource, obj)
		if err != nil {
			continue // a kind of requests only, such as Eviction or Scale
		}
		attributes := special[resource]
		if attributes == nil {
			attributes = apistorage.DefaultNamespaceScopedAttr
		}
		s, err := newStore(Config{
			Resource: resource, Prefix: "/" + storages.ResourcePrefix(resource),
			Codec: config.Codec, Versioner: config.EncodeVersioner, Scheme: legacyscheme.Scheme,
			New:        func() runtime.Object { return reflect.New(typ).Interface().(runtime.Object) },
			Attributes: attributes,
		})
		if err != nil {
			continue
		}
		all = append(all, builtin{resource, s, config.Codec, attributes})
	}
	slices.SortFunc(all, func(a, b builtin) int { return strings.Compare(a.resource.String(), b.resource.String()) })
	return all
}

// upstreamAttributes are the resources with selectable fields of their own.
func upstreamAttributes(t testing.TB, storages serverstorage.StorageFactory) map[schema.GroupResource]apistorage.AttrFunc {
	t.Helper()
	c := capture{storages, map[schema.GroupResource]apistorage.AttrFunc{
		{Resource: "pods"}:                           podregistry.GetAttrs,
		{Resource: "nodes"}:                          noderegistry.GetAttrs,
		{Resource: "services"}:                       serviceregistry.GetAttrs,
		{Resource: "secrets"}:                        secretregistry.GetAttrs,
		{Resource: "configmaps"}:                     configmapregistry.GetAttrs,
		{Resource: "events"}:                         eventregistry.GetAttrs,
		{Group: "events.k8s.io", Resource: "events"}: eventregistry.GetAttrs,
		{Resource: "namespaces"}:                     namespaceregistry.GetAttrs,
		{Resource: "persistentvolumes"}:              pvregistry.GetAttrs,
		{Resource: "persistentvolumeclaims"}:         pvcregistry.GetAttrs,
		{Resource: "replicationcontrollers"}:         rcregistry.GetAttrs,
		{Group: "apps", Resource: "replicasets"}:     replicasetregistry.GetAttrs,
		{Group: "batch", Resource: "jobs"}:           jobregistry.GetAttrs,
		{Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}: csrregistry.GetAttrs,
		{Group: "coordination.k8s.io", Resource: "leasecandidates"}:            leasecandidateregistry.GetAttrs,
		{Group: "resource.k8s.io", Resource: "resourceclaims"}:                 claimregistry.GetAttrs,
		{Group: "resource.k8s.io", Resource: "resourceclaimtemplates"}:         claimtemplateregistry.GetAttrs,
		{Group: "resource.k8s.io", Resource: "resourceslices"}:                 sliceregistry.GetAttrs,
	}}
	// These keep their function to themselves.
	if _, err := ctbstorage.NewREST(c); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pcrstorage.NewREST(c, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clustertrustbundles", "podcertificaterequests"} {
		if c.attributes[certificates.Resource(name)] == nil {
			t.Fatalf("the attributes of %s were not found", name)
		}
	}
	return c.attributes
}

// capture learns the function that a REST storage is made with.
type capture struct {
	storages   serverstorage.StorageFactory
	attributes map[schema.GroupResource]apistorage.AttrFunc
}

func (c capture) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	config, err := c.storages.NewConfig(resource, example)
	return generic.RESTOptions{
		StorageConfig: config, ResourcePrefix: c.storages.ResourcePrefix(resource),
		Decorator: func(_ *storagebackend.ConfigForResource, _ string, _ func(runtime.Object) (string, error), _, _ func() runtime.Object,
			attributes apistorage.AttrFunc, _ apistorage.IndexerFuncs, _ *cache.Indexers,
		) (apistorage.Interface, factory.DestroyFunc, error) {
			c.attributes[resource] = attributes
			return (*Store)(nil), func() {}, nil
		},
	}, err
}

// randomObjects fills objects of the hub types.
func randomObjects(seed int64) interface{ Fill(any) } {
	return fuzzer.FuzzerFor(apitesting.FuzzerFuncs, rand.NewSource(seed), legacyscheme.Codecs)
}

// testPod is a pod of about the size that pods have.
func testPod(t testing.TB) (*Store, []byte) {
	t.Helper()
	for _, b := range builtins(t) {
		if b.resource != core.Resource("pods") {
			continue
		}
		pod := realisticPod()
		data, err := runtime.Encode(b.codec, pod)
		if err != nil {
			t.Fatal(err)
		}
		return b.store, data
	}
	t.Fatal("there are no pods")
	return nil, nil
}
