package serviceaccount

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"

	"github.com/howdah/howdah/storage"
)

// Objects are the live objects that tokens end with, as the object cache has them.
type Objects struct {
	Accounts, Pods, Secrets, Nodes *Source
	// Sync returns once the cache has all that was committed before the call.
	Sync func(context.Context) error
}

// catchUp bounds how long a refusal waits for a database that does not answer.
const catchUp = 2 * time.Second

// check runs a check on the cache. If that fails, the cache may be behind: it is
// run again once the cache has what other servers wrote until now.
func (o *Objects) check(ctx context.Context, check func() error) error {
	refusal := check()
	if refusal == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := o.Sync(ctx); err != nil {
		return refusal // the cache is all there is to go by
	}
	return check()
}

// readSize is of how many objects a [Source] remembers what it read.
const readSize = 16 << 10

// A Source reads the objects of one resource.
type Source struct {
	collection *storage.Collection
	decode     func([]byte) (*object, error)
	read       *lru.Cache // version by key
}

// object is what the validity of tokens needs to know of an object.
type object struct {
	uid     string
	deleted time.Time      // its deletion timestamp; zero: it stays
	secret  *corev1.Secret // of a secret
	secrets []string       // of an account: those made for it
}

// version is an object as it was read from one version in the cache.
type version struct {
	of *storage.Object
	*object
}

// NewSource reads pods and nodes.
func NewSource(c *storage.Collection) *Source {
	return newSource(c, func(body []byte) (*object, error) {
		var m metav1.PartialObjectMetadata // metadata is field 1 of every object's message
		if err := m.Unmarshal(body); err != nil {
			return nil, err
		}
		return describe(&m.ObjectMeta), nil
	})
}

// NewSecrets reads secrets.
func NewSecrets(c *storage.Collection) *Source {
	return newSource(c, func(body []byte) (*object, error) {
		s := &corev1.Secret{}
		if err := s.Unmarshal(body); err != nil {
			return nil, err
		}
		o := describe(&s.ObjectMeta)
		o.secret = s
		return o, nil
	})
}

// NewAccounts reads service accounts.
func NewAccounts(c *storage.Collection) *Source {
	return newSource(c, func(body []byte) (*object, error) {
		var a corev1.ServiceAccount
		if err := a.Unmarshal(body); err != nil {
			return nil, err
		}
		o := describe(&a.ObjectMeta)
		for _, secret := range a.Secrets {
			o.secrets = append(o.secrets, secret.Name)
		}
		return o, nil
	})
}

func newSource(c *storage.Collection, decode func([]byte) (*object, error)) *Source {
	return &Source{collection: c, decode: decode, read: lru.New(readSize)}
}

func describe(m *metav1.ObjectMeta) *object {
	o := &object{uid: string(m.UID)}
	if m.DeletionTimestamp != nil {
		o.deleted = m.DeletionTimestamp.Time
	}
	return o
}

func (o *object) deletedBefore(t time.Time) bool { return !o.deleted.IsZero() && o.deleted.Before(t) }

// Secret returns the live secret, which must not be changed; nil: there is none.
// The source must be one of secrets.
func (s *Source) Secret(namespace, name string) (*corev1.Secret, error) {
	o, err := s.get(namespace, name)
	if o == nil || err != nil {
		return nil, err
	}
	return o.secret, nil
}

// get returns nil if there is no such object.
func (s *Source) get(namespace, name string) (*object, error) {
	if name == "" {
		return nil, nil
	}
	key := s.collection.Prefix() + name
	if namespace != "" {
		key = s.collection.Prefix() + namespace + "/" + name
	}
	current, _ := s.collection.Get(key)
	if current == nil {
		return nil, nil
	}
	if known, ok := s.read.Get(key); ok && known.(version).of == current {
		return known.(version).object, nil
	}
	if current.Err != nil {
		return nil, current.Err
	}
	o, err := s.decode(current.Body())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	s.read.Add(key, version{current, o})
	return o, nil
}
