package device

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// ClaimChanged tells what an informer says of a claim, before and after; one of
// the two may be nil. What this process wrote is known before the informer tells
// of it, so the claim may have had devices of which the informer never told: it
// returns what the claim was before all that changed.
func (d *Devices) ClaimChanged(old, new *resourceapi.ResourceClaim) (before *resourceapi.ResourceClaim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	claim := new
	if new == nil {
		claim = old
	}
	known := d.known(claim)
	switch {
	case new == nil:
		if known != nil {
			d.forget(keyOf(old))
		}
	case known != nil && older(new.ResourceVersion, known.ResourceVersion):
		return old
	default:
		d.remember(new)
	}
	if allocated(known) && !allocated(old) && !allocated(new) {
		return known
	}
	return old
}

func allocated(claim *resourceapi.ResourceClaim) bool {
	return claim != nil && claim.Status.Allocation != nil
}

func keyOf(claim *resourceapi.ResourceClaim) string { return claim.Namespace + "/" + claim.Name }

// remember keeps the newest version of a claim. The lock is held.
func (d *Devices) remember(claim *resourceapi.ResourceClaim) {
	key := keyOf(claim)
	if other := d.claims[key]; other != nil && other.UID != claim.UID {
		d.forget(key)
	}
	d.claims[key] = claim
	if pod := extendedFor(claim); pod != "" {
		if d.special[pod] == nil {
			d.special[pod] = map[string]*resourceapi.ResourceClaim{}
		}
		d.special[pod][key] = claim
	}
	d.account(claim.UID, claim)
}

// forget drops a claim that is gone. The lock is held.
func (d *Devices) forget(key string) {
	if claim := d.claims[key]; claim != nil {
		delete(d.claims, key)
		if pod := extendedFor(claim); pod != "" {
			if delete(d.special[pod], key); len(d.special[pod]) == 0 {
				delete(d.special, pod)
			}
		}
		d.account(claim.UID, nil)
	}
}

// extendedFor is the pod for whose extended resources a claim was made, or "".
func extendedFor(claim *resourceapi.ResourceClaim) types.UID {
	if claim.Annotations[resourceapi.ExtendedResourceClaimAnnotation] != "true" {
		return ""
	}
	if owner := metav1.GetControllerOfNoCopy(claim); owner != nil {
		return owner.UID
	}
	return ""
}

// account says what a claim has: what is written there, or else what is on its
// way there. The lock is held.
func (d *Devices) account(uid types.UID, claim *resourceapi.ResourceClaim) {
	switch flight := d.flights[uid]; {
	case claim != nil && claim.Status.Allocation != nil:
		d.ledger.set(uid, claim.Status.Allocation)
	case flight != nil:
		d.ledger.set(uid, flight.Status.Allocation)
	default:
		d.ledger.set(uid, nil)
	}
}

// written takes note of what this process wrote to a claim. What was on its way
// there, if anything, has arrived.
func (d *Devices) written(flight, claim *resourceapi.ResourceClaim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.claims[keyOf(claim)]; known == nil || known.UID != claim.UID || !older(claim.ResourceVersion, known.ResourceVersion) {
		d.remember(claim)
	}
	d.landed(flight)
}

// depart takes devices for a claim; false: it has some by now.
func (d *Devices) depart(flight *resourceapi.ResourceClaim) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.known(flight)
	if known != nil && known.Status.Allocation != nil || d.flights[flight.UID] != nil {
		return false
	}
	d.flights[flight.UID] = flight
	d.account(flight.UID, known)
	return true
}

// land ends what is on its way to a claim.
func (d *Devices) land(flight *resourceapi.ResourceClaim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.landed(flight)
}

func (d *Devices) landed(flight *resourceapi.ResourceClaim) {
	if flight != nil && d.flights[flight.UID] == flight {
		delete(d.flights, flight.UID)
		d.account(flight.UID, d.known(flight))
	}
}

// known is the newest version of a claim; nil: it is gone, or not written yet.
func (d *Devices) known(claim *resourceapi.ResourceClaim) *resourceapi.ResourceClaim {
	if known := d.claims[keyOf(claim)]; known != nil && known.UID == claim.UID {
		return known
	}
	return nil
}

// claim is the newest that is known of one.
func (d *Devices) claim(namespace, name string) (*resourceapi.ResourceClaim, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if claim := d.claims[namespace+"/"+name]; claim != nil {
		return claim, nil
	}
	return nil, fmt.Errorf("could not find ResourceClaim %q", namespace+"/"+name)
}

// inFlight tells whether devices for a claim are on their way to it.
func (d *Devices) inFlight(uid types.UID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flights[uid] != nil
}

// claimsOf are the claims that a pod names and those made for it. The error says
// why it has to wait.
func (d *Devices) claimsOf(pod *corev1.Pod) ([]*resourceapi.ResourceClaim, error) {
	var claims []*resourceapi.ResourceClaim
	for i := range pod.Spec.ResourceClaims {
		name, made, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return nil, err
		}
		if name == nil {
			continue // none is needed
		}
		claim, err := d.claim(pod.Namespace, *name)
		if err != nil {
			return nil, err
		}
		if claim.DeletionTimestamp != nil {
			return nil, fmt.Errorf("resourceclaim %q is being deleted", claim.Name)
		}
		if made {
			if err := resourceclaim.IsForPod(pod, claim, false); err != nil {
				return nil, err
			}
		}
		claims = append(claims, claim)
	}
	return claims, nil
}

// Lacks tells whether a pod waits for claims that are not there yet.
func (d *Devices) Lacks(pod *corev1.Pod) bool {
	if len(pod.Spec.ResourceClaims) == 0 {
		return false
	}
	_, err := d.claimsOf(pod)
	return err != nil
}

// older tells whether an object's version is from before another.
func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}
