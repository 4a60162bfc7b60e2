package objects

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/howdah/howdah/storage"
)

// Root is the start of every key, as in etcd.
const Root = "/registry"

// Config is what a [Store] is made from.
type Config struct {
	Store    *storage.Store
	Resource schema.GroupResource
	// Prefix of the resource under [Root]: "/pods".
	Prefix string
	// Codec between the hub type and stored bytes.
	Codec runtime.Codec
	// Versioner is of the version that Codec encodes to. With the Scheme that has
	// the types, those that have protobuf encodings are encoded and decoded
	// without Codec; a nil Scheme is for custom resources.
	Versioner runtime.GroupVersioner
	Scheme    *runtime.Scheme
	// Version that values are in; needed without Scheme only.
	Version schema.GroupVersion
	// Reread does to the object that was just encoded as data what Codec does when
	// it decodes them, so that they need not be parsed again. Only without Scheme,
	// and nil where values have another version than objects.
	Reread func(data []byte, u *unstructured.Unstructured) error

	New func() runtime.Object // an empty hub object
	// Attributes are upstream's labels and selectable fields of a hub object;
	// needed with Scheme only.
	Attributes apistorage.AttrFunc
	// Indexes are fields to look up by equality, beside name and namespace.
	Indexes []string
	// ProgressInterval of the bookmarks that a watch asks for with
	// ProgressNotify; default 5 seconds.
	ProgressInterval time.Duration
}

// A Store is upstream's storage of one resource.
type Store struct {
	store      *storage.Store
	collection *storage.Collection
	resource   schema.GroupResource
	prefix     string // as upstream's keys have it: "/pods"
	form       form
	version    schema.GroupVersion
	plan       *plan // nil: the fields of documents are read by path
	newObject  func() runtime.Object
	progress   time.Duration
	sizes      atomic.Bool // upstream wants to know about sizes
}

var _ apistorage.Interface = (*Store)(nil)

// New registers the resource's keys with the byte store. The same prefix may be
// registered again; the first description of its objects counts.
func New(c Config) (*Store, error) {
	s, err := newStore(c)
	if err != nil {
		return nil, err
	}
	s.collection = c.Store.Register(s.Prefix(), s.describe, c.Indexes...)
	return s, nil
}

func newStore(c Config) (*Store, error) {
	if !strings.HasPrefix(c.Prefix, "/") || len(c.Prefix) < 2 {
		return nil, fmt.Errorf("the prefix of %s is %q; it must be / and a name", c.Resource, c.Prefix)
	}
	example := c.New()
	f, err := newForm(c.Codec, c.Versioner, c.Scheme, example)
	if err != nil {
		return nil, fmt.Errorf("how %s are stored: %w", c.Resource, err)
	}
	f.reread = c.Reread
	version := c.Version
	if f.stored != nil {
		version = f.kind.GroupVersion()
	}
	var p *plan
	if f.stored != nil {
		if p, err = newPlan(c.Resource, c.Attributes, example, f.stored); err != nil {
			return nil, err
		}
	}
	const defaultProgress = 5 * time.Second
	s := &Store{
		store: c.Store, resource: c.Resource, prefix: strings.TrimSuffix(c.Prefix, "/"),
		form: f, version: version, plan: p, newObject: c.New, progress: c.ProgressInterval,
	}
	if s.progress == 0 {
		s.progress = defaultProgress
	}
	return s, nil
}

// Collection has the resource's objects as bytes.
func (s *Store) Collection() *storage.Collection { return s.collection }

// Prefix of the resource's keys: "/registry/pods/".
func (s *Store) Prefix() string { return Root + s.prefix + "/" }

// Key of an object; namespace is empty for resources that have none.
func (s *Store) Key(namespace, name string) string {
	if namespace == "" {
		return s.Prefix() + name
	}
	return s.Prefix() + namespace + "/" + name
}

// StorageVersion is the version that values are in.
func (s *Store) StorageVersion() schema.GroupVersion { return s.version }

// Decode returns the object in the hub version, with its resourceVersion and
// defaults. It is the caller's.
func (s *Store) Decode(o *storage.Object) (runtime.Object, error) {
	obj := s.newObject()
	if err := s.form.decode(o, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// DecodeStored returns the object in the version that values are in, with its
// resourceVersion and defaults. It is the caller's.
func (s *Store) DecodeStored(o *storage.Object) (runtime.Object, error) {
	return s.form.decodeStored(o)
}

// Resource is the one whose objects these are.
func (s *Store) Resource() schema.GroupResource { return s.resource }

// Versioner implements [apistorage.Interface], as do the following.
func (s *Store) Versioner() apistorage.Versioner { return apistorage.APIObjectVersioner{} }

func (s *Store) Get(ctx context.Context, key string, opts apistorage.GetOptions, out runtime.Object) error {
	key, err := s.key(key, false)
	if err != nil {
		return err
	}
	if err := s.reach(ctx, opts.ResourceVersion); err != nil {
		return err
	}
	o, _ := s.collection.Get(key)
	if o == nil {
		if opts.IgnoreNotFound {
			return runtime.SetZeroValue(out)
		}
		return apistorage.NewKeyNotFoundError(key, 0)
	}
	return s.form.decode(o, out)
}

// reach makes the cache at least as new as a request asks for: as the present
// when the version is empty.
func (s *Store) reach(ctx context.Context, resourceVersion string) error {
	wanted, err := s.Versioner().ParseResourceVersion(resourceVersion)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	revision := s.store.Revision()
	if resourceVersion == "" || wanted > uint64(revision) {
		if revision, err = s.store.Sync(ctx); err != nil {
			return s.failure(err)
		}
	}
	if wanted > uint64(revision) {
		return apistorage.NewTooLargeResourceVersionError(wanted, uint64(revision), 0)
	}
	return nil
}

// latest returns the object as it is in the database now; nil when there is none.
func (s *Store) latest(ctx context.Context, key string) (*storage.Object, error) {
	if _, err := s.store.Sync(ctx); err != nil {
		return nil, s.failure(err)
	}
	o, _ := s.collection.Get(key)
	return o, nil
}

// revisionOf is 0 for no object.
func revisionOf(o *storage.Object) int64 {
	if o == nil {
		return 0
	}
	return o.Revision
}

func (s *Store) Stats(context.Context) (apistorage.Stats, error) {
	count, bytes := s.collection.Size()
	stats := apistorage.Stats{ObjectCount: int64(count)}
	if s.sizes.Load() && count > 0 {
		stats.EstimatedAverageObjectSizeBytes = bytes / int64(count)
	}
	return stats, nil
}

func (s *Store) ReadinessCheck() error {
	if s.store.Ready() != nil {
		return apistorage.ErrStorageNotReady
	}
	return nil
}

// RequestWatchProgress has nothing to do: watches know their progress.
func (s *Store) RequestWatchProgress(context.Context) error { return nil }

func (s *Store) GetCurrentResourceVersion(ctx context.Context) (uint64, error) {
	revision, err := s.store.Sync(ctx)
	if err != nil {
		return 0, s.failure(err)
	}
	if revision == 0 {
		return 0, errors.New("the current resource version must be greater than 0")
	}
	return uint64(revision), nil
}

func (s *Store) EnableResourceSizeEstimation(keys apistorage.KeysFunc) error {
	if keys == nil {
		return errors.New("KeysFunc cannot be nil")
	}
	if !s.sizes.CompareAndSwap(false, true) {
		return errors.New("resource size estimation is enabled already")
	}
	return nil
}

// CompactRevision is 0, as compactions are not observed here: a read of history
// that is gone says so.
func (s *Store) CompactRevision() int64 { return 0 }

// key turns upstream's key into the store's.
func (s *Store) key(key string, recursive bool) (string, error) {
	key, err := apistorage.PrepareKey(s.prefix+"/", key, recursive)
	if err != nil {
		return "", err
	}
	return Root + key, nil
}
