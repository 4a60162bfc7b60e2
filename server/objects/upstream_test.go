package objects

import (
	"context"
	"strconv"
	"testing"
	"time"

	apitesting "k8s.io/apimachinery/pkg/api/apitesting"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/features"
	apistorage "k8s.io/apiserver/pkg/storage"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"

	"github.com/howdah/howdah/storage"
)

// TestUpstream runs upstream's own tests of storage, as etcd3/store_test.go and
// watcher_test.go run them, in each form that objects have and on each database.
//
// Left out, with reasons:
//   - RunTestTransformationFailure, RunTestGetListWith(out)ErrorAggregation,
//     RunTestWatchError, RunTestWatchWithUnsafeDelete,
//     RunWatchErrorIsBlockingFurtherEvents, RunTestListResourceVersionMatch,
//     RunTestGuaranteedUpdateChecksStoredData: they change the store's encryption
//     under it while it runs, and count on every read to see that; ours reads
//     objects when they are written or loaded.
//   - The size of Stats: it is an estimate, which here includes the revision.
//   - RunTestCompactRevision: compaction is by time and is not announced.
//   - RunTestWatchDispatchBookmarkEvents with bookmarks, and
//     RunTestOptionalWatchBookmarksWithCorrectResourceVersion: for caches, which
//     send bookmarks to clients; that is package read's part here.
func TestUpstream(t *testing.T) {
	for _, database := range databases() {
		t.Run(database.name, func(t *testing.T) {
			forms := []string{"protobuf", "JSON"}
			if database.shared { // the form has nothing to do with the database
				forms = forms[:1]
			}
			for _, form := range forms {
				t.Run(form, func(t *testing.T) {
					u := upstream{form, database}
					t.Run("Store", u.store)
					t.Run("List", u.list)
					t.Run("Watch", u.watch)
				})
			}
		})
	}
}

type upstream struct {
	form     string
	database database
}

func (u upstream) store(t *testing.T) {
	type run = func(context.Context, *testing.T, apistorage.Interface)
	for name, test := range map[string]run{
		"CreateWithTTL":                       storagetesting.RunTestCreateWithTTL,
		"CreateWithKeyExist":                  storagetesting.RunTestCreateWithKeyExist,
		"Get":                                 storagetesting.RunTestGet,
		"UnconditionalDelete":                 storagetesting.RunTestUnconditionalDelete,
		"ConditionalDelete":                   storagetesting.RunTestConditionalDelete,
		"DeleteWithSuggestion":                storagetesting.RunTestDeleteWithSuggestion,
		"DeleteWithSuggestionAndConflict":     storagetesting.RunTestDeleteWithSuggestionAndConflict,
		"DeleteWithConflict":                  storagetesting.RunTestDeleteWithConflict,
		"DeleteWithSuggestionOfDeletedObject": storagetesting.RunTestDeleteWithSuggestionOfDeletedObject,
		"ValidateDeletionWithSuggestion":      storagetesting.RunTestValidateDeletionWithSuggestion,
		"ValidateDeletionOnlySuggestionValid": storagetesting.RunTestValidateDeletionWithOnlySuggestionValid,
		"PreconditionalDeleteWithSuggestion":  storagetesting.RunTestPreconditionalDeleteWithSuggestion,
		"PreconditionalDeleteOnlySuggestion":  storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass,
		"GuaranteedUpdateWithTTL":             storagetesting.RunTestGuaranteedUpdateWithTTL,
		"GuaranteedUpdateWithConflict":        storagetesting.RunTestGuaranteedUpdateWithConflict,
		"GuaranteedUpdateSuggestionConflict":  storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict,
		"KeySchema":                           storagetesting.RunTestKeySchema,
	} {
		t.Run(name, func(t *testing.T) {
			x := u.setup(t)
			test(x.ctx, t, x.Store)
		})
	}
	t.Run("Create", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestCreate(x.ctx, t, x.Store, x.validate)
	})
	t.Run("GuaranteedUpdate", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestGuaranteedUpdate(x.ctx, t, x, x.validate)
	})
	t.Run("Stats", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestStats(x.ctx, t, x.Store, x.codec, identity.NewEncryptCheckTransformer(), false)
	})
	t.Run("UnsafeDelete", func(t *testing.T) {
		if u.form != "JSON" {
			t.Skip("the codec, which the test breaks, is not asked")
		}
		featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.AllowUnsafeMalformedObjectDeletion, true)
		x := u.setup(t)
		storagetesting.RunTestDeleteExpectedTransformOrDecodeError(x.ctx, t, x.Store, x.codec.setFailing)
		x = u.setup(t)
		storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(x.ctx, t, x.Store, x.codec.setFailing)
		x = u.setup(t)
		storagetesting.RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(x.ctx, t, x.Store)
	})
}

func (u upstream) list(t *testing.T) {
	type run = func(context.Context, *testing.T, apistorage.Interface)
	for name, test := range map[string]run{
		"RecursivePrefix": storagetesting.RunTestGetListRecursivePrefix,
		"Paging":          storagetesting.RunTestListPaging,
		"NamespaceScoped": storagetesting.RunTestNamespaceScopedList,
	} {
		t.Run(name, func(t *testing.T) {
			x := u.setup(t)
			test(x.ctx, t, x.Store)
		})
	}
	uncounted := func(*testing.T, uint64, uint64) {} // calls of etcd
	for name, test := range map[string]func(context.Context, *testing.T, apistorage.Interface, storagetesting.CallsValidation){
		"Continuation":           storagetesting.RunTestListContinuation,
		"ContinuationWithFilter": storagetesting.RunTestListContinuationWithFilter,
		"PaginationRareObject":   storagetesting.RunTestListPaginationRareObject,
	} {
		t.Run(name, func(t *testing.T) {
			x := u.setup(t)
			test(x.ctx, t, x.Store, uncounted)
		})
	}
	t.Run("List", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestList(x.ctx, t, x.Store, x.compact, false, nil)
	})
	t.Run("Consistent", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestConsistentList(x.ctx, t, x.Store, x.increaseRevision, false, true, false)
	})
	t.Run("NonRecursive", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestGetListNonRecursive(x.ctx, t, x.increaseRevision, x.Store)
	})
	t.Run("InconsistentContinuation", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestListInconsistentContinuation(x.ctx, t, x.Store, x.compact)
	})
}

func (u upstream) watch(t *testing.T) {
	type run = func(context.Context, *testing.T, apistorage.Interface)
	for name, test := range map[string]run{
		"Watch":                          storagetesting.RunTestWatch,
		"ClusterScoped":                  storagetesting.RunTestClusterScopedWatch,
		"NamespaceScoped":                storagetesting.RunTestNamespaceScopedWatch,
		"DeleteTrigger":                  storagetesting.RunTestDeleteTriggerWatch,
		"FromNonZero":                    storagetesting.RunTestWatchFromNonZero,
		"DelayedDelivery":                storagetesting.RunTestDelayedWatchDelivery,
		"ContextCancel":                  storagetesting.RunTestWatchContextCancel,
		"Timeout":                        storagetesting.RunTestWatcherTimeout,
		"DeleteEventObjectHaveLatestRV":  storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV,
		"InitializationSignal":           storagetesting.RunTestWatchInitializationSignal,
		"InitialEventsCompatibility":     storagetesting.RunSendInitialEventsBackwardCompatibility,
		"Semantics":                      storagetesting.RunWatchSemantics,
		"SemanticsInitialEventsExtended": storagetesting.RunWatchSemanticInitialEventsExtended,
		"ListMatchSingle":                storagetesting.RunWatchListMatchSingle,
	} {
		t.Run(name, func(t *testing.T) {
			x := u.setup(t)
			test(x.ctx, t, x.Store)
		})
	}
	t.Run("FromZero", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunTestWatchFromZero(x.ctx, t, x.Store, x.compact)
	})
	t.Run("ProgressNotify", func(t *testing.T) {
		x := u.setup(t)
		storagetesting.RunOptionalTestProgressNotify(x.ctx, t, x.Store, x.increaseRevision)
	})
	t.Run("TooLargeResourceVersion", func(t *testing.T) {
		x := u.setup(t)
		initial := true
		w, err := x.Watch(x.ctx, "/pods", apistorage.ListOptions{
			ResourceVersion: "1000", SendInitialEvents: &initial, Recursive: true, Predicate: apistorage.Everything,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		event := <-w.ResultChan()
		status, ok := event.Object.(*metav1.Status)
		if event.Type != watch.Error || !ok || status.Details == nil || status.Details.RetryAfterSeconds <= 0 ||
			status.Message != "Timeout: Too large resource version: 1000, current: 1" {
			t.Fatalf("%s %+v", event.Type, event.Object)
		}
	})
}

// upstreamSetup is a fresh store in a fresh database, as upstream's tests like it.
type upstreamSetup struct {
	*Store
	ctx    context.Context
	codec  *fragileCodec
	driver storage.Driver
	bytes  *storage.Store
}

func (u upstream) setup(t *testing.T) *upstreamSetup {
	t.Helper()
	return u.serve(t, u.database.driver(t, u.database.fresh(t)))
}

// serve starts a store on a database.
func (u upstream) serve(t *testing.T, driver storage.Driver) *upstreamSetup {
	t.Helper()
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
	codecs := serializer.NewCodecFactory(scheme)
	x := &upstreamSetup{
		ctx:    t.Context(),
		codec:  &fragileCodec{Codec: apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion)},
		driver: driver,
	}
	bytes, err := storage.New(storage.Options{Driver: x.driver, RecentBytes: u.recent()})
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Store: bytes, Resource: schema.GroupResource{Resource: "pods"}, Prefix: "/pods",
		Codec: x.codec, Versioner: examplev1.SchemeGroupVersion, Version: examplev1.SchemeGroupVersion,
		New: func() runtime.Object { return &example.Pod{} },
		Attributes: func(obj runtime.Object) (labels.Set, fields.Set, error) {
			pod := obj.(*example.Pod)
			return pod.Labels, fields.Set{
				"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "spec.nodeName": pod.Spec.NodeName,
			}, nil
		},
		Indexes:          []string{"spec.nodeName"},
		ProgressInterval: 100 * time.Millisecond,
	}
	if u.form == "protobuf" {
		config.Scheme = scheme
	}
	if x.Store, err = New(config); err != nil {
		t.Fatal(err)
	}
	if native := x.form.native != nil; native != (u.form == "protobuf") {
		t.Fatal("the objects have another form")
	}
	if err := bytes.Start(x.ctx); err != nil {
		t.Fatal(err)
	}
	x.bytes = bytes
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := bytes.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	x.increaseRevision(x.ctx, t) // etcd starts at revision 1
	return x
}

// recent is so little memory for history that it has to come from the database.
func (upstream) recent() int64 { return 1 }

func (x *upstreamSetup) validate(_ context.Context, t *testing.T, key string) {
	t.Helper()
	o, _ := x.collection.Get(Root + key)
	if o == nil {
		t.Fatalf("there is no %s", key)
	}
	found := false
	_, err := x.driver.Load(x.ctx, func(r storage.Record) error {
		if r.Key != o.Key {
			return nil
		}
		found = true
		pod := &example.Pod{}
		if err := x.form.decodeBytes(r.Value, pod); err != nil {
			return err
		}
		//lint:ignore SA1019 upstream's tests compare it
		selfLink := pod.SelfLink
		if pod.ResourceVersion != "" || selfLink != "" {
			t.Errorf("a resourceVersion %q or selfLink %q is stored", pod.ResourceVersion, selfLink)
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("%s was not found: %v", key, err)
	}
}

// UpdatePrefixTransformer does nothing, as there is no encryption; the test that
// calls it here has an update that is due without it, too.
func (x *upstreamSetup) UpdatePrefixTransformer(storagetesting.PrefixTransformerModifier) func() {
	return func() {}
}

func (x *upstreamSetup) increaseRevision(ctx context.Context, t *testing.T) int64 {
	t.Helper()
	revision, err := x.bytes.Write(ctx, storage.Write{Key: "/other/" + strconv.FormatInt(x.bytes.Revision(), 10), Value: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// compact drops history up to a revision.
func (x *upstreamSetup) compact(ctx context.Context, t *testing.T, resourceVersion string) {
	t.Helper()
	revision, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	state, err := x.driver.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for left := int(revision - state.Compacted); left > 0; {
		n, err := x.driver.Compact(ctx, time.Now().Add(time.Hour), left)
		if err != nil || n == 0 {
			t.Fatalf("compact up to %d: %d, %v", revision, n, err)
		}
		left -= n
	}
	x.increaseRevision(ctx, t) // etcd's compactor writes a key, and the tests count on it
}

// fragileCodec can be told to fail.
type fragileCodec struct {
	runtime.Codec
	failing bool
}

func (c *fragileCodec) setFailing(failing bool) { c.failing = failing }

func (c *fragileCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if c.failing {
		return nil, nil, errForm
	}
	return c.Codec.Decode(data, defaults, into)
}
