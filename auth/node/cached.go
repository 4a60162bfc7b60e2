package node

import (
	"context"
	"iter"
	"log/slog"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/howdah/howdah/storage"
)

// Collections are where the stored objects are, those of other groups than the
// core's as storage.k8s.io/v1 has them. A nil one has no objects.
type Collections struct {
	Store *storage.Store

	Pods, PersistentVolumes, VolumeAttachments, ResourceSlices, PodCertificateRequests *storage.Collection
}

// Cached is the relations as the object cache has them now.
type Cached struct {
	Collections
	volumes volumes
	log     *slog.Logger
}

// NewCached returns relations that are empty before [Cached.Follow].
func NewCached(log *slog.Logger) *Cached { return &Cached{volumes: newVolumes(), log: log} }

// Follow says where the objects are. It comes before the first request, and after
// the start of the store. run keeps the index of volumes up until its context
// ends or the store is stopped.
func (c *Cached) Follow(collections Collections) (run func(context.Context)) {
	c.Collections = collections
	return collections.PersistentVolumes.Follow(&volumeKeeper{&c.volumes, collections.PersistentVolumes.Prefix(), c.log}).Run
}

// Related implements [Relations].
func (c *Cached) Related(node string, kind Kind, namespace, name string) bool {
	if c.Store == nil || node == "" || strings.Contains(namespace, "/") || strings.Contains(name, "/") {
		return false
	}
	switch kind {
	case Pod:
		return namespace != "" && selectable(c.Pods, namespace+"/"+name, "spec.nodeName") == node
	case ResourceSlice:
		return namespace == "" && selectable(c.ResourceSlices, name, "spec.nodeName") == node
	case CertificateRequest:
		return namespace != "" && selectable(c.PodCertificateRequests, namespace+"/"+name, "spec.nodeName") == node
	case VolumeAttachment:
		return namespace == "" && c.attaches(node, name)
	case Volume:
		claim, bound := c.volumes.claim(name)
		return namespace == "" && bound && c.refers(node, VolumeClaim, claim.namespace, claim.name)
	case Secret:
		return c.refers(node, Secret, namespace, name) || c.mounts(node, object{namespace, name})
	}
	return c.refers(node, kind, namespace, name)
}

// selectable reads a field of an object; "" when there is no such object.
func selectable(c *storage.Collection, key, field string) string {
	if o := get(c, key); o != nil && o.Fields != nil {
		return o.Fields.Get(field)
	}
	return ""
}

func get(c *storage.Collection, key string) *storage.Object {
	if c == nil {
		return nil
	}
	o, _ := c.Get(c.Prefix() + key)
	if o == nil || o.Err != nil {
		return nil
	}
	return o
}

func (c *Cached) attaches(node, name string) bool {
	o := get(c.VolumeAttachments, name)
	if o == nil {
		return false
	}
	var attachment storagev1.VolumeAttachment
	return attachment.Unmarshal(o.Body()) == nil && attachment.Spec.NodeName == node
}

// refers says whether a pod of the node, in the namespace, refers to the object.
func (c *Cached) refers(node string, kind Kind, namespace, name string) bool {
	if namespace == "" {
		return false
	}
	for pod := range c.pods(node, c.Pods.Prefix()+namespace+"/") {
		for reference := range c.references(pod) {
			if reference.kind == kind && reference.name == name {
				return true
			}
		}
	}
	return false
}

// mounts says whether a pod of the node has a claim to a volume that needs the secret.
func (c *Cached) mounts(node string, secret object) bool {
	if !c.volumes.use(secret) {
		return false
	}
	for pod := range c.pods(node, c.Pods.Prefix()) {
		namespace, _, _ := strings.Cut(strings.TrimPrefix(pod.Key, c.Pods.Prefix()), "/")
		for reference := range c.references(pod) {
			if reference.kind == VolumeClaim && c.volumes.need(object{namespace, reference.name}, secret) {
				return true
			}
		}
	}
	return false
}

// pods of the node whose key has the prefix.
func (c *Cached) pods(node, prefix string) iter.Seq[*storage.Object] {
	ofNode := storage.Selection{Fields: fields.OneTermEqualSelector("spec.nodeName", node)}
	return func(yield func(*storage.Object) bool) {
		c.Pods.Snapshot().Scan(prefix, "", ofNode, func(o *storage.Object) bool { return o.Err != nil || yield(o) })
	}
}
