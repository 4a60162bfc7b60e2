package aggregation

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"

	"github.com/howdah/howdah/server/resource"
)

// managedLabel tells which APIServices the servers keep: those of built-in group
// versions from their start on, those of definitions as long as they are there.
const (
	managedLabel = "kube-aggregator.kubernetes.io/automanaged"
	onStart      = "onstart"
	always       = "true"
)

// register keeps the APIServices of the group versions that this server has,
// until ctx ends.
func (s *Services) register(ctx context.Context) {
	const pause = time.Second
	started, all := false, false
	for {
		changed := s.table.Changed()
		err := s.registerOnce(ctx, !started)
		var again <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Warn("the APIServices of this server's own groups are not all there", "err", err)
			again = time.After(pause)
		case !all:
			all = true
			close(s.registered)
		}
		started = true
		select {
		case <-again:
		case <-changed:
		case <-s.local:
		case <-ctx.Done():
			return
		}
	}
}

// registerOnce writes what is missing and puts right what changed: at the start of
// a server those of built-in group versions, those of definitions at any time.
func (s *Services) registerOnce(ctx context.Context, start bool) error {
	wanted := s.wanted()
	present := map[string]*apiregistrationv1.APIService{}
	s.mu.Lock()
	for _, service := range s.known {
		present[service.Name] = service
	}
	s.mu.Unlock()
	const atOnce = 16
	var all errgroup.Group
	all.SetLimit(atOnce)
	do := func(write func() error) {
		all.Go(func() error {
			if err := write(); !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
				return err
			}
			return nil
		})
	}
	for name, service := range wanted {
		kept := present[name]
		switch {
		case kept == nil:
			do(func() error {
				made, err := s.client.Create(ctx, service, metav1.CreateOptions{})
				if err != nil {
					return err
				}
				return s.markLocal(ctx, made)
			})
		case putRight(kept, service, start) && !equality.Semantic.DeepEqual(kept.Spec, service.Spec):
			changed := kept.DeepCopy()
			changed.Spec = service.Spec
			do(func() error {
				_, err := s.client.Update(ctx, changed, metav1.UpdateOptions{})
				return err
			})
		}
	}
	for name, service := range present {
		switch {
		case wanted[name] == nil && service.Labels[managedLabel] == always:
			do(func() error {
				return s.client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(service.UID))})
			})
		case service.Spec.Service == nil:
			do(func() error { return s.markLocal(ctx, service) })
		}
	}
	return all.Wait()
}

// putRight says whether a kept APIService has to be as it is wanted. It need not
// without the label.
func putRight(kept, wanted *apiregistrationv1.APIService, start bool) bool {
	switch kept.Labels[managedLabel] {
	case onStart:
		return start
	case always:
		return start || wanted.Labels[managedLabel] == always
	}
	return false
}

// markLocal says that a local APIService is available, which it always is.
func (s *Services) markLocal(ctx context.Context, service *apiregistrationv1.APIService) error {
	if helper.IsAPIServiceConditionTrue(service, apiregistrationv1.Available) {
		return nil
	}
	changed := service.DeepCopy()
	helper.SetAPIServiceCondition(changed, helper.NewLocalAvailableAPIServiceCondition())
	_, err := s.client.UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

// wanted are the APIServices of the table's group versions.
func (s *Services) wanted() map[string]*apiregistrationv1.APIService {
	priorities := controlplaneapiserver.DefaultGenericAPIServicePriorities()
	wanted := map[string]*apiregistrationv1.APIService{}
	for _, group := range s.table.Groups() {
		if group.Name == apiregistration.GroupName {
			continue // it can't be anywhere else
		}
		for _, version := range group.Versions {
			service := &apiregistrationv1.APIService{
				ObjectMeta: metav1.ObjectMeta{Name: version.Version + "." + group.Name, Labels: map[string]string{managedLabel: onStart}},
				Spec:       apiregistrationv1.APIServiceSpec{Group: group.Name, Version: version.Version},
			}
			own := version.Resources[0].Priority
			service.Spec.GroupPriorityMinimum, service.Spec.VersionPriority = own.Group, own.Version
			if version.Resources[0].Custom {
				service.Labels[managedLabel] = always
			} else {
				service.Spec.VersionPriority = versionPriority(version.GroupVersion, own, priorities)
			}
			wanted[service.Name] = service
		}
	}
	return wanted
}

// versionPriority is kube-apiserver's: for groups of which upstream's library
// knows nothing it stands in kube-apiserver itself.
func versionPriority(gv schema.GroupVersion, own resource.Priority, known map[schema.GroupVersion]controlplaneapiserver.APIServicePriority) int32 {
	if priority, ok := known[gv]; ok {
		return priority.Version
	}
	switch gv.String() {
	case "autoscaling/v2":
		return 30
	case "resource.k8s.io/v1":
		return 21
	}
	if gv.Version == "v1" {
		return 15
	}
	return own.Version
}
