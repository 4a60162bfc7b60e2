package serviceaccount

import (
	"errors"
	"fmt"
	"time"
)

// terminating is how long a token outlives the start of the deletion of what it is
// bound to: a pod that is asked to end may still have something to say. A deletion
// timestamp is when the grace period ends.
const terminating = time.Minute

var errInvalidated = errors.New("service account token has been invalidated")

// bound says whether the token's account, and what it is bound to, are still the
// ones that it names.
func (v *Verifier) bound(t *token, now time.Time) error {
	b := &t.Kubernetes
	account, err := v.Objects.Accounts.get(b.Namespace, b.Account.Name)
	switch {
	case err != nil:
		return err
	case account == nil:
		return fmt.Errorf("serviceaccounts %q not found", b.Account.Name)
	case account.uid != b.Account.UID:
		return fmt.Errorf("service account UID (%s) does not match claim (%s)", account.uid, b.Account.UID)
	case account.deletedBefore(now.Add(-terminating)):
		return fmt.Errorf("service account %s/%s has been deleted", b.Namespace, b.Account.Name)
	}
	if b.Validating != nil || b.Mutating != nil {
		return errors.New(`feature gate "APIServerWebhookAuthenticationToken" is disabled, but token is webhook bound`)
	}
	for _, to := range []struct {
		ref       *ref
		source    *Source
		namespace string
		kind      string
		mismatch  string
	}{
		{b.Secret, v.Objects.Secrets, b.Namespace, "secret", "service account secret"},
		{b.Pod, v.Objects.Pods, b.Namespace, "pod", "service account pod"},
		{nodeOf(b), v.Objects.Nodes, "", "node", "service account node"},
	} {
		if to.ref == nil {
			continue
		}
		object, err := to.source.get(to.namespace, to.ref.Name)
		switch {
		case err != nil:
			return err
		case object == nil || object.deletedBefore(now.Add(-terminating)) && object.uid == to.ref.UID:
			return errInvalidated
		case object.uid != to.ref.UID:
			return fmt.Errorf("%s UID (%s) does not match %s ref claim (%s)", to.kind, object.uid, to.mismatch, to.ref.UID)
		}
	}
	return nil
}

// nodeOf is the node that a token is bound to. For a pod's token it is only where
// the pod was.
func nodeOf(b *bound) *ref {
	if b.Pod != nil {
		return nil
	}
	return b.Node
}
