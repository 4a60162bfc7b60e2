package attach

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	translation "k8s.io/csi-translation-lib"
	"k8s.io/klog/v2"
)

// A volume is what can be attached.
type volume struct {
	// name is unique in the cluster, in the form of node.status.volumesAttached.
	name   string
	label  string // in events
	csi    *csi   // nil: there is nothing to do but to tell the kubelet
	shared bool   // several nodes may have it
}

// csi is how a CSI driver knows a volume.
type csi struct {
	driver, handle string
	source         storagev1.VolumeAttachmentSource
	migrated       bool // an in-tree plugin attached it once
}

const (
	csiPrefix   = "kubernetes.io/csi/"
	iscsiPrefix = "kubernetes.io/iscsi/"
	fcPrefix    = "kubernetes.io/fc/"
)

func csiName(driver, handle string) string { return csiPrefix + driver + "^" + handle }

// parseCSI takes the name of a CSI volume apart.
func parseCSI(name string) (driver, handle string, ok bool) {
	rest, ok := strings.CutPrefix(name, csiPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "^")
}

// attachmentName is that of the VolumeAttachment of a volume and a node. Drivers
// and kubelets reckon it, too.
func attachmentName(driver, handle, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(handle+driver+node)))
}

// A resolver finds out what pods' volumes are.
type resolver struct {
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	drivers storagelisters.CSIDriverLister
}

// of is what a pod's volume is; nil if it isn't attachable. It fails if it isn't
// known yet.
func (r *resolver) of(pod *corev1.Pod, v *corev1.Volume) (*volume, error) {
	name := ""
	switch {
	case v.PersistentVolumeClaim != nil:
		name = v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		name = ephemeral.VolumeClaimName(pod, v)
	default:
		found, err := inline(pod, v)
		return r.attachable(found), err
	}
	claim, err := r.claims.PersistentVolumeClaims(pod.Namespace).Get(name)
	if err != nil {
		return nil, err
	}
	if v.Ephemeral != nil {
		if err := ephemeral.VolumeIsForPod(pod, claim); err != nil {
			return nil, err
		}
	}
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "" {
		return nil, errors.New("the claim is not bound")
	}
	pv, err := r.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return nil, err
	}
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID {
		return nil, errors.New("the volume is bound to another claim")
	}
	return r.attachable(persistent(pv)), nil
}

// attachable leaves out the volumes of drivers that say they don't attach.
func (r *resolver) attachable(v *volume) *volume {
	if v == nil || v.csi == nil {
		return v
	}
	driver, err := r.drivers.Get(v.csi.driver)
	if apierrors.IsNotFound(err) || err == nil && (driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired) {
		return v
	}
	return nil
}

// persistent is what a PersistentVolume is; nil if it is of no kind that is
// attached.
func persistent(pv *corev1.PersistentVolume) *volume {
	source := storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv.Name}
	translator := translation.New()
	migrated := translator.IsPVMigratable(pv)
	if migrated {
		translated, err := translator.TranslateInTreePVToCSI(klog.Logger{}, pv)
		if err != nil {
			return nil
		}
		pv = translated
	}
	v := &volume{label: pv.Name, shared: shared(pv.Spec.AccessModes)}
	switch {
	case pv.Spec.CSI != nil:
		v.csi = &csi{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle, source, migrated}
		v.name = csiName(v.csi.driver, v.csi.handle)
	case pv.Spec.ISCSI != nil:
		v.name = iscsiName(pv.Spec.ISCSI.TargetPortal, pv.Spec.ISCSI.IQN, pv.Spec.ISCSI.Lun)
	case pv.Spec.FC != nil:
		v.name = fcName(pv.Spec.FC)
	}
	if v.name == "" {
		return nil
	}
	return v
}

// inline is what a volume is that a pod brings itself.
func inline(pod *corev1.Pod, v *corev1.Volume) (*volume, error) {
	switch translator := translation.New(); {
	case v.ISCSI != nil:
		return &volume{name: iscsiName(v.ISCSI.TargetPortal, v.ISCSI.IQN, v.ISCSI.Lun), label: v.Name, shared: true}, nil
	case v.FC != nil:
		if name := fcName(v.FC); name != "" {
			return &volume{name: name, label: v.Name, shared: true}, nil
		}
	case translator.IsInlineMigratable(v):
		pv, err := translator.TranslateInTreeInlineVolumeToCSI(klog.Logger{}, v, pod.Namespace)
		if err != nil {
			return nil, err
		}
		return &volume{
			name: csiName(pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle), label: pv.Name, shared: shared(pv.Spec.AccessModes),
			csi: &csi{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle, storagev1.VolumeAttachmentSource{InlineVolumeSpec: &pv.Spec}, true},
		}, nil
	}
	return nil, nil
}

// shared is whether several nodes may have a volume at a time. One that doesn't
// say may be, the driver knows.
func shared(modes []corev1.PersistentVolumeAccessMode) bool {
	return len(modes) == 0 || slices.Contains(modes, corev1.ReadWriteMany) || slices.Contains(modes, corev1.ReadOnlyMany)
}

func iscsiName(portal, iqn string, lun int32) string {
	return fmt.Sprintf("%s%s:%s:%d", iscsiPrefix, portal, iqn, lun)
}

func fcName(fc *corev1.FCVolumeSource) string {
	switch {
	case len(fc.TargetWWNs) > 0 && fc.Lun != nil:
		return fmt.Sprintf("%s%v:%d", fcPrefix, fc.TargetWWNs, *fc.Lun)
	case len(fc.WWIDs) > 0:
		return fmt.Sprintf("%s%v", fcPrefix, fc.WWIDs)
	}
	return ""
}
