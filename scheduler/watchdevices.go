package scheduler

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/informers"

	"github.com/howdah/howdah/scheduler/placement"
)

// watchDevices follows claims and what there is to claim.
func (s *Scheduler) watchDevices(factory informers.SharedInformerFactory) error {
	api := factory.Resource().V1()
	if err := follow(s, api.ResourceClaims().Informer(), s.deviceClaimChanged); err != nil {
		return err
	}
	if err := follow(s, api.DeviceClasses().Informer(), s.deviceClassChanged); err != nil {
		return err
	}
	changed := happens[resourceapi.ResourceSlice](s, placement.SliceAdded, placement.SliceUpdated, "")
	if _, err := s.slices.AddEventHandler(handler(s, changed)); err != nil {
		return fmt.Errorf("watch ResourceSlices: %w", err)
	}
	s.synced = append(s.synced, s.slices.HasSynced)
	return nil
}

func (s *Scheduler) deviceClaimChanged(old, new *resourceapi.ResourceClaim) {
	before := s.devices.ClaimChanged(old, new)
	happens[resourceapi.ResourceClaim](s, placement.DeviceClaimAdded, placement.DeviceClaimed, placement.DeviceClaimGone)(before, new)
}

func (s *Scheduler) deviceClassChanged(old, new *resourceapi.DeviceClass) {
	s.devices.ClassChanged(old, new)
	for _, p := range s.profiles {
		p.placer.DevicesChanged()
	}
	happens[resourceapi.DeviceClass](s, placement.DeviceClassAdded, placement.DeviceClassed, "")(old, new)
}
