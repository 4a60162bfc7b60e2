package volume

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	volumehelpers "k8s.io/component-helpers/storage/volume"

	"github.com/howdah/howdah/scheduler/answer"
	"github.com/howdah/howdah/scheduler/placement"
)

// pollPeriod is how often it is looked whether the volume controller did its
// part. What is looked at is an informer's.
const pollPeriod = 100 * time.Millisecond

// Between writes of which the answer was lost.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Reserve assumes what the waiting claims get on the node.
func (p *bound) Reserve(node string) (placement.Reservation, *placement.Status) {
	f := p.byNode[node]
	if f == nil || len(f.matches)+len(f.provisions) == 0 {
		return nil, nil
	}
	r := &reservation{bound: p, node: node}
	for _, m := range f.matches {
		volume, dirty, err := volumehelpers.GetBindVolumeToClaim(m.volume, m.claim)
		if err != nil {
			return nil, &placement.Status{Err: err}
		}
		r.matches = append(r.matches, match{volume, m.claim})
		if dirty {
			r.volumes = append(r.volumes, volume)
		}
	}
	for _, made := range f.provisions {
		claim := made.claim.DeepCopy()
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volumehelpers.AnnSelectedNode, node)
		r.claims = append(r.claims, claim)
	}
	p.assume(r.volumes, r.claims)
	return r, nil
}

type reservation struct {
	*bound
	node    string
	matches []match
	volumes []*corev1.PersistentVolume      // assumed
	claims  []*corev1.PersistentVolumeClaim // assumed
}

func (r *reservation) Undo(context.Context) { r.forget(r.volumes, r.claims) }

// Bind writes what was assumed, and waits until the volume controller has bound
// all claims.
func (r *reservation) Bind(ctx context.Context) error {
	written := map[string]string{} // resource versions by kind and name
	for i, m := range r.matches {
		volumes := r.client.CoreV1().PersistentVolumes()
		volume, err := certainly(ctx, func() (*corev1.PersistentVolume, error) {
			return volumes.Update(ctx, m.volume, metav1.UpdateOptions{})
		}, func() (*corev1.PersistentVolume, error) {
			return volumes.Get(ctx, m.volume.Name, metav1.GetOptions{})
		}, func(live *corev1.PersistentVolume) bool {
			return live.UID == m.volume.UID && live.Spec.ClaimRef != nil && live.Spec.ClaimRef.UID == m.claim.UID
		})
		if err != nil {
			return err
		}
		r.matches[i].volume = volume
		written["volume "+volume.Name] = volume.ResourceVersion
	}
	for _, assumed := range r.claims {
		claims := r.client.CoreV1().PersistentVolumeClaims(assumed.Namespace)
		claim, err := certainly(ctx, func() (*corev1.PersistentVolumeClaim, error) {
			return claims.Update(ctx, assumed, metav1.UpdateOptions{})
		}, func() (*corev1.PersistentVolumeClaim, error) {
			return claims.Get(ctx, assumed.Name, metav1.GetOptions{})
		}, func(live *corev1.PersistentVolumeClaim) bool {
			return live.UID == assumed.UID && live.Annotations[volumehelpers.AnnSelectedNode] == r.node
		})
		if err != nil {
			return err
		}
		written["claim "+claim.Namespace+"/"+claim.Name] = claim.ResourceVersion
	}
	err := wait.PollUntilContextTimeout(ctx, pollPeriod, r.args.BindTimeout, true, func(context.Context) (bool, error) { return r.done(written) })
	if err != nil {
		return fmt.Errorf("binding volumes: %w", err)
	}
	return nil
}

// certainly writes an object, whose version it names, until it is certain what
// became of that: where the answer is lost it looks.
func certainly[T any](ctx context.Context, write, look func() (*T, error), written func(*T) bool) (*T, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		after, err := write()
		if err == nil || answer.Refused(err) && !apierrors.IsConflict(err) {
			return after, err
		}
		live, gone := look()
		switch {
		case gone == nil && written(live):
			return live, nil
		case gone == nil && apierrors.IsConflict(err), apierrors.IsNotFound(gone):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// done tells whether all claims are bound, or can't be any more.
func (r *reservation) done(written map[string]string) (bool, error) {
	node, err := r.nodes.Get(r.node)
	if err != nil {
		return false, fmt.Errorf("failed to get node %q: %w", r.node, err)
	}
	if _, err := r.pods.Pods(r.pod.Namespace).Get(r.pod.Name); apierrors.IsNotFound(err) {
		return false, fmt.Errorf("pod does not exist any more: %w", err)
	}
	for _, m := range r.matches {
		volume, err := r.Volumes.volumes.Get(m.volume.Name)
		if err != nil {
			return false, fmt.Errorf("failed to check binding: %w", err)
		}
		claim, err := r.Volumes.claims.PersistentVolumeClaims(m.claim.Namespace).Get(m.claim.Name)
		if err != nil {
			return false, fmt.Errorf("failed to check binding: %w", err)
		}
		if older(volume.ResourceVersion, written["volume "+volume.Name]) {
			return false, nil
		}
		if err := r.stillFits(volume, node); err != nil {
			return false, err
		}
		if volume.Spec.ClaimRef == nil || volume.Spec.ClaimRef.UID == "" {
			return false, fmt.Errorf("ClaimRef got reset for pv %q", volume.Name)
		}
		if !fullyBound(claim) {
			return false, nil
		}
	}
	for _, assumed := range r.claims {
		claim, err := r.Volumes.claims.PersistentVolumeClaims(assumed.Namespace).Get(assumed.Name)
		if err != nil {
			return false, fmt.Errorf("failed to check provisioning pvc: %w", err)
		}
		if older(claim.ResourceVersion, written["claim "+claim.Namespace+"/"+claim.Name]) {
			return false, nil
		}
		if claim.Annotations[volumehelpers.AnnSelectedNode] != r.node {
			return false, fmt.Errorf("provisioning failed for PVC %q", claim.Name)
		}
		if claim.Spec.VolumeName != "" {
			volume, err := r.Volumes.volumes.Get(claim.Spec.VolumeName)
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			if err != nil {
				return false, fmt.Errorf("failed to get pv %q from cache: %w", claim.Spec.VolumeName, err)
			}
			if err := r.stillFits(volume, node); err != nil {
				return false, err
			}
		}
		if !fullyBound(claim) {
			return false, nil
		}
	}
	return true, nil
}

func (r *reservation) stillFits(volume *corev1.PersistentVolume, node *corev1.Node) error {
	translated, err := r.translate(volume, r.csiNode(node.Name))
	if err != nil {
		return fmt.Errorf("failed to translate pv to csi: %w", err)
	}
	if err := volumehelpers.CheckNodeAffinity(translated, node.Labels); err != nil {
		return fmt.Errorf("pv %q node affinity doesn't match node %q: %w", volume.Name, node.Name, err)
	}
	return nil
}

// older tells whether an object's version is from before another; versions are
// decimal numbers (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
func older(version, than string) bool {
	if len(version) != len(than) {
		return len(version) < len(than)
	}
	return version < than
}
