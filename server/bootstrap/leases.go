package bootstrap

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	api "k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
)

// leases keeps the addresses of running servers as upstream does: one object
// an address under /masterleases, which goes away unless it is renewed.
type leases struct {
	store    storage.Interface
	lifetime time.Duration
}

var _ reconcilers.Leases = &leases{}

const (
	leasePrefix  = "/masterleases"
	leaseTimeout = 10 * time.Second // of one call to the store
)

func (l *leases) ListLeases() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	list := &api.EndpointsList{}
	err := l.store.GetList(ctx, leasePrefix, storage.ListOptions{
		ResourceVersion:      "0",
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		Predicate:            storage.Everything,
		Recursive:            true,
	}, list)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, lease := range list.Items {
		if len(lease.Subsets) > 0 && len(lease.Subsets[0].Addresses) > 0 {
			addresses = append(addresses, lease.Subsets[0].Addresses[0].IP)
		}
	}
	return addresses, nil
}

func (l *leases) UpdateLease(ip string) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	seconds := uint64(l.lifetime / time.Second)
	return l.store.GuaranteedUpdate(ctx, leaseKey(ip), &api.Endpoints{}, true, nil,
		func(current runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			lease := current.(*api.Endpoints)
			lease.Subsets = []api.EndpointSubset{{Addresses: []api.EndpointAddress{{IP: ip}}}}
			lease.Generation++ // only what changes is stored, and so renewed
			return lease, &seconds, nil
		}, nil)
}

func (l *leases) RemoveLease(ip string) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	return l.store.Delete(ctx, leaseKey(ip), &api.Endpoints{}, nil, rest.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
}

func (l *leases) Destroy() {}

func leaseKey(ip string) string { return leasePrefix + "/" + ip }
