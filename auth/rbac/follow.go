package rbac

import (
	"context"
	"iter"
	"log/slog"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/howdah/howdah/storage"
)

// Collections are where the stored roles and bindings are, as the encoded
// objects of rbac.authorization.k8s.io/v1.
type Collections struct {
	Roles, RoleBindings, ClusterRoles, ClusterRoleBindings *storage.Collection
}

// Follow fills the engine with what is stored, and returns what keeps it up: run
// returns when its context ends or the store is stopped. Changes reach the engine
// as soon as they reach watchers. It comes before the first decision.
func (e *Engine) Follow(c Collections, log *slog.Logger) (run func(context.Context)) {
	e.followers = nil
	for _, k := range []*keeper{
		{collection: c.ClusterRoles, put: e.putRole, delete: e.DeleteRole},
		{collection: c.Roles, put: e.putRole, delete: e.DeleteRole},
		{collection: c.ClusterRoleBindings, put: e.putBinding, delete: e.DeleteBinding},
		{collection: c.RoleBindings, put: e.putBinding, delete: e.DeleteBinding},
	} {
		k.log, k.kept = log, map[string]bool{}
		e.followers = append(e.followers, k.collection.Follow(k))
	}
	return func(ctx context.Context) {
		var running sync.WaitGroup
		for _, f := range e.followers {
			running.Go(func() { f.Run(ctx) })
		}
		running.Wait()
	}
}

// Wait returns when the engine decides by everything up to the revision, which
// the cache must have. The error is ctx's.
func (e *Engine) Wait(ctx context.Context, revision int64) error {
	for _, f := range e.followers {
		if err := f.Wait(ctx, revision); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) putRole(namespace, name string, body []byte) error {
	var r rbacv1.Role // a ClusterRole has its rules in the same field
	if err := r.Unmarshal(body); err != nil {
		return err
	}
	e.SetRole(namespace, name, r.Rules)
	return nil
}

func (e *Engine) putBinding(namespace, name string, body []byte) error {
	var b rbacv1.RoleBinding // a ClusterRoleBinding has the same fields
	if err := b.Unmarshal(body); err != nil {
		return err
	}
	e.SetBinding(namespace, name, b.RoleRef, b.Subjects)
	return nil
}

// A keeper tells the engine of one collection.
type keeper struct {
	collection *storage.Collection
	put        func(namespace, name string, body []byte) error
	delete     func(namespace, name string)
	log        *slog.Logger
	kept       map[string]bool // keys
}

func (k *keeper) Replace(all iter.Seq[*storage.Object]) {
	gone := k.kept
	k.kept = make(map[string]bool, len(gone))
	for o := range all {
		k.Put(o)
		delete(gone, o.Key)
	}
	for key := range gone {
		k.delete(k.named(key))
	}
}

// Put forgets what can't be read: permissions that nobody can see are not given.
func (k *keeper) Put(o *storage.Object) {
	namespace, name := k.named(o.Key)
	err := o.Err
	if err == nil {
		err = k.put(namespace, name, o.Body())
	}
	if err != nil {
		k.log.Error("rbac: an object can't be read and grants nothing; write it again", "key", o.Key, "err", err)
		k.delete(namespace, name)
	}
	k.kept[o.Key] = true
}

func (k *keeper) Delete(last *storage.Object) {
	delete(k.kept, last.Key)
	k.delete(k.named(last.Key))
}

func (k *keeper) named(key string) (namespace, name string) {
	rest := strings.TrimPrefix(key, k.collection.Prefix())
	if namespace, name, ok := strings.Cut(rest, "/"); ok {
		return namespace, name
	}
	return "", rest
}
