package volume

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/csi-translation-lib/plugins"
	"k8s.io/klog/v2"
)

// migrated are the in-tree volumes that CSI drivers took over.
func migrated(inTree string) bool {
	switch inTree {
	case plugins.AWSEBSInTreePluginName, plugins.GCEPDInTreePluginName, plugins.AzureDiskInTreePluginName, plugins.CinderInTreePluginName, plugins.PortworxVolumePluginName:
		return true
	}
	return false
}

// translate gives an in-tree volume the form of the driver that took it over, if
// the node says that it did there.
func (v *Volumes) translate(volume *corev1.PersistentVolume, csiNode *storagev1.CSINode) (*corev1.PersistentVolume, error) {
	if !v.translator.IsPVMigratable(volume) {
		return volume, nil
	}
	inTree, err := v.translator.GetInTreePluginNameFromSpec(volume, nil)
	if err != nil {
		return nil, fmt.Errorf("could not get plugin name from pv: %w", err)
	}
	if !migrated(inTree) || csiNode == nil || !slices.Contains(strings.Split(csiNode.Annotations[corev1.MigratedPluginsAnnotationKey], ","), inTree) {
		return volume, nil
	}
	translated, err := v.translator.TranslateInTreePVToCSI(klog.Logger{}, volume)
	if err != nil {
		return nil, fmt.Errorf("could not translate pv: %w", err)
	}
	return translated, nil
}
