package volume

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/ephemeral"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/klog/v2"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// limits is NodeVolumeLimits: how many volumes of a driver a node can attach.
type limits struct {
	*Volumes
	prefix string // of names of volumes that don't exist yet
}

func volumeIDPrefix() string { return uuid.NewString() }

func (l *limits) Name() string { return placement.NodeVolumeLimits }

func (l *limits) Prepare(pod *state.Pod, _ *state.Cluster) (placement.Prepared, *placement.Status) {
	for i := range pod.Obj.Spec.Volumes {
		volume := &pod.Obj.Spec.Volumes[i]
		if volume.PersistentVolumeClaim != nil || volume.Ephemeral != nil || l.translator.IsInlineMigratable(volume) {
			return &limited{limits: l, pod: pod.Obj}, nil
		}
	}
	return nil, nil
}

type limited struct {
	unscored
	*limits
	pod *corev1.Pod
}

func (l *limited) Filter(node *state.Node) *placement.Status {
	csiNode := l.csiNode(node.Name())
	wanted := map[string]string{} // driver by volume
	if err := l.attachable(l.pod, csiNode, true, wanted); err != nil {
		return failure(err)
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, driver := range wanted {
		installed, err := l.installed(driver, csiNode)
		if err != nil {
			return &placement.Status{Err: err}
		}
		if !installed {
			return &placement.Status{Reasons: []string{driver + " CSI driver is not installed on the node"}}
		}
	}
	most := map[string]int{}
	if csiNode != nil {
		for _, driver := range csiNode.Spec.Drivers {
			if driver.Allocatable != nil && driver.Allocatable.Count != nil {
				most[driver.Name] = int(*driver.Allocatable.Count)
			}
		}
	}
	if len(most) == 0 {
		return nil
	}
	attached := map[string]string{}
	for _, other := range node.Pods {
		if err := l.attachable(other.Obj, csiNode, false, attached); err != nil {
			return &placement.Status{Err: err}
		}
	}
	if err := l.stillAttached(node.Name(), attached); err != nil {
		return &placement.Status{Err: err}
	}
	counts := map[string]int{}
	for volume, driver := range attached {
		delete(wanted, volume)
		counts[driver]++
	}
	more := map[string]int{}
	for _, driver := range wanted {
		more[driver]++
	}
	for driver, n := range more {
		if limit, ok := most[driver]; ok && counts[driver]+n > limit {
			return &placement.Status{Reasons: []string{"node(s) exceed max volume count"}}
		}
	}
	return nil
}

// installed: a driver may say that pods are kept from nodes without it.
func (l *limits) installed(name string, csiNode *storagev1.CSINode) (bool, error) {
	driver, err := l.drivers.Get(name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, fmt.Errorf("error getting CSIDriver for provider %s: %w", name, err)
	}
	if prevent := driver.Spec.PreventPodSchedulingIfMissing; prevent == nil || !*prevent {
		return true, nil
	}
	if csiNode != nil {
		for _, on := range csiNode.Spec.Drivers {
			if on.Name == name {
				return true, nil
			}
		}
	}
	return false, nil
}

// attachable adds the pod's volumes that a driver attaches. For a pod that is
// new, all claims have to be there.
func (l *limits) attachable(pod *corev1.Pod, csiNode *storagev1.CSINode, isNew bool, out map[string]string) error {
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		name := ""
		switch {
		case volume.PersistentVolumeClaim != nil:
			name = volume.PersistentVolumeClaim.ClaimName
		case volume.Ephemeral != nil:
			name = ephemeral.VolumeClaimName(pod, volume)
		default:
			if err := l.inline(pod, volume, csiNode, out); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			return errors.New("PersistentVolumeClaim had no name")
		}
		claim, err := l.claims.PersistentVolumeClaims(pod.Namespace).Get(name)
		if err != nil {
			if isNew {
				return fmt.Errorf("looking up PVC %s/%s: %w", pod.Namespace, name, err)
			}
			continue
		}
		if volume.Ephemeral != nil {
			if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
				return err
			}
		}
		if driver, handle := l.driverOf(csiNode, claim); driver != "" && handle != "" {
			out[driver+"/"+handle] = driver
		}
	}
	return nil
}

func (l *limits) inline(pod *corev1.Pod, volume *corev1.Volume, csiNode *storagev1.CSINode, out map[string]string) error {
	if !l.translator.IsInlineMigratable(volume) {
		return nil
	}
	inTree, err := l.translator.GetInTreePluginNameFromSpec(nil, volume)
	if err != nil {
		return fmt.Errorf("looking up provisioner name for volume %s: %w", volume.Name, err)
	}
	if csiNode == nil || !migrated(inTree) {
		return nil
	}
	translated, err := l.translator.TranslateInTreeInlineVolumeToCSI(klog.Logger{}, volume, pod.Namespace)
	if err != nil || translated == nil {
		return fmt.Errorf("converting volume(%s) from inline to csi: %w", volume.Name, err)
	}
	driver, err := l.translator.GetCSINameFromInTreeName(inTree)
	if err != nil {
		return fmt.Errorf("looking up CSI driver name for provisioner %s: %w", inTree, err)
	}
	if csi := translated.Spec.CSI; csi != nil {
		out[driver+"/"+csi.VolumeHandle] = driver
	}
	return nil
}

// driverOf is which driver attaches a claim's volume, and the driver's name for
// it.
func (l *limits) driverOf(csiNode *storagev1.CSINode, claim *corev1.PersistentVolumeClaim) (driver, handle string) {
	volume, err := l.volumes.Get(claim.Spec.VolumeName)
	if claim.Spec.VolumeName == "" || err != nil {
		return l.driverOfClass(csiNode, claim)
	}
	csi := volume.Spec.CSI
	if csi == nil {
		if !l.translator.IsPVMigratable(volume) {
			return "", ""
		}
		inTree, err := l.translator.GetInTreePluginNameFromSpec(volume, nil)
		if err != nil || csiNode == nil || !migrated(inTree) {
			return "", ""
		}
		translated, err := l.translator.TranslateInTreePVToCSI(klog.Logger{}, volume)
		if err != nil || translated.Spec.CSI == nil {
			return "", ""
		}
		csi = translated.Spec.CSI
	}
	return csi.Driver, csi.VolumeHandle
}

// driverOfClass is the driver that will make the volume, by a name of ours.
func (l *limits) driverOfClass(csiNode *storagev1.CSINode, claim *corev1.PersistentVolumeClaim) (driver, handle string) {
	name := volumehelpers.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		return "", ""
	}
	class, err := l.classes.Get(name)
	if err != nil {
		return "", ""
	}
	handle = fmt.Sprintf("%s-%s/%s", l.prefix, claim.Namespace, claim.Name)
	if !l.translator.IsMigratableIntreePluginByName(class.Provisioner) {
		return class.Provisioner, handle
	}
	if csiNode == nil || !migrated(class.Provisioner) {
		return "", ""
	}
	if driver, err = l.translator.GetCSINameFromInTreeName(class.Provisioner); err != nil {
		return "", ""
	}
	return driver, handle
}

// stillAttached adds volumes that are attached though no pod has them any more.
func (l *limits) stillAttached(node string, out map[string]string) error {
	all, err := l.attachments.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, attachment := range all {
		name := attachment.Spec.Source.PersistentVolumeName
		if attachment.Spec.NodeName != node || attachment.Spec.Attacher == "" || name == nil {
			continue
		}
		if volume, err := l.volumes.Get(*name); err == nil && volume.Spec.CSI != nil {
			out[attachment.Spec.Attacher+"/"+volume.Spec.CSI.VolumeHandle] = attachment.Spec.Attacher
		}
	}
	return nil
}
