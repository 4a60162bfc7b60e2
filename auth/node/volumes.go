package node

import (
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	pvutil "k8s.io/kubernetes/pkg/api/v1/persistentvolume"

	"github.com/howdah/howdah/storage"
)

// An object has a name in a namespace.
type object struct{ namespace, name string }

// A volume is a persistent volume that belongs to a claim.
type volume struct {
	claim   object
	secrets []object // that kubelets need for it
}

// volumes know which secrets are behind which claims.
type volumes struct {
	mu      sync.RWMutex
	named   map[string]*volume
	claimed map[object][]*volume
	secrets map[object]int // how many volumes need it
}

func newVolumes() volumes {
	return volumes{named: map[string]*volume{}, claimed: map[object][]*volume{}, secrets: map[object]int{}}
}

// claim that the volume belongs to.
func (v *volumes) claim(name string) (object, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	known := v.named[name]
	if known == nil {
		return object{}, false
	}
	return known.claim, true
}

// use says whether any volume needs the secret.
func (v *volumes) use(secret object) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.secrets[secret] > 0
}

// need says whether a volume of the claim needs the secret.
func (v *volumes) need(claim, secret object) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.ContainsFunc(v.claimed[claim], func(of *volume) bool { return slices.Contains(of.secrets, secret) })
}

// set keeps what is known of a volume, or forgets it: nil.
func (v *volumes) set(name string, now *volume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if was := v.named[name]; was != nil {
		delete(v.named, name)
		left := slices.DeleteFunc(v.claimed[was.claim], func(other *volume) bool { return other == was })
		if v.claimed[was.claim] = left; len(left) == 0 {
			delete(v.claimed, was.claim)
		}
		for _, secret := range was.secrets {
			if v.secrets[secret]--; v.secrets[secret] == 0 {
				delete(v.secrets, secret)
			}
		}
	}
	if now == nil {
		return
	}
	v.named[name] = now
	v.claimed[now.claim] = append(v.claimed[now.claim], now)
	for _, secret := range now.secrets {
		v.secrets[secret]++
	}
}

// A volumeKeeper keeps volumes up with the stored ones.
type volumeKeeper struct {
	volumes *volumes
	prefix  string
	log     *slog.Logger
}

func (k *volumeKeeper) Replace(all iter.Seq[*storage.Object]) {
	k.volumes.mu.RLock()
	gone := make(map[string]bool, len(k.volumes.named))
	for name := range k.volumes.named {
		gone[name] = true
	}
	k.volumes.mu.RUnlock()
	for o := range all {
		k.Put(o)
		delete(gone, k.name(o.Key))
	}
	for name := range gone {
		k.volumes.set(name, nil)
	}
}

func (k *volumeKeeper) Put(o *storage.Object) {
	v, err := readVolume(o)
	if err != nil {
		k.log.Error("node authorizer: a volume can't be read, so that no node may use it; write it again", "key", o.Key, "err", err)
	}
	k.volumes.set(k.name(o.Key), v)
}

func (k *volumeKeeper) Delete(last *storage.Object) { k.volumes.set(k.name(last.Key), nil) }

func (k *volumeKeeper) name(key string) string { return strings.TrimPrefix(key, k.prefix) }

// readVolume returns nil for a volume without a claim.
func readVolume(o *storage.Object) (*volume, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	var pv corev1.PersistentVolume
	if err := pv.Unmarshal(o.Body()); err != nil {
		return nil, err
	}
	if pv.Spec.ClaimRef == nil {
		return nil, nil
	}
	v := &volume{claim: object{pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name}}
	pvutil.VisitPVSecretNames(&pv, func(namespace, name string, kubeletVisible bool) bool {
		if kubeletVisible {
			v.secrets = append(v.secrets, object{namespace, name})
		}
		return true
	})
	return v, nil
}
