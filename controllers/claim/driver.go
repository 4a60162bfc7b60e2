package claim

import translation "k8s.io/csi-translation-lib"

// Driver is the CSI driver that took over what an in-tree volume plugin did, by
// the plugin's name
// (https://kubernetes.io/docs/concepts/storage/volumes/#csi-migration).
func Driver(inTree string) (driver string, ok bool) {
	translator := translation.New()
	if !translator.IsMigratableIntreePluginByName(inTree) {
		return "", false
	}
	driver, err := translator.GetCSINameFromInTreeName(inTree)
	return driver, err == nil
}
