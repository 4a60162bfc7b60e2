package difftest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	volumehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

// storage is what there is of volumes in a world.
type storage struct {
	classes    []*storagev1.StorageClass
	drivers    []*storagev1.CSIDriver
	csiNodes   []*storagev1.CSINode
	capacities []*storagev1.CSIStorageCapacity
	volumes    []*corev1.PersistentVolume
	claims     []*corev1.PersistentVolumeClaim
}

func (s *storage) add(factory informers.SharedInformerFactory) {
	core, api := factory.Core().V1(), factory.Storage().V1()
	for _, o := range s.classes {
		api.StorageClasses().Informer().GetIndexer().Add(o)
	}
	for _, o := range s.drivers {
		api.CSIDrivers().Informer().GetIndexer().Add(o)
	}
	for _, o := range s.csiNodes {
		api.CSINodes().Informer().GetIndexer().Add(o)
	}
	for _, o := range s.capacities {
		api.CSIStorageCapacities().Informer().GetIndexer().Add(o)
	}
	for _, o := range s.volumes {
		core.PersistentVolumes().Informer().GetIndexer().Add(o)
	}
	for _, o := range s.claims {
		core.PersistentVolumeClaims().Informer().GetIndexer().Add(o)
	}
}

func (g *generator) storage(w *world) storage {
	var s storage
	wait, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	for _, class := range []storagev1.StorageClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "wait"}, Provisioner: "csi.example.com", VolumeBindingMode: &wait},
		{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: volumehelpers.NotSupportedProvisioner, VolumeBindingMode: &wait},
		{ObjectMeta: metav1.ObjectMeta{Name: "zonal"}, Provisioner: "other.example.com", VolumeBindingMode: &wait, AllowedTopologies: []corev1.TopologySelectorTerm{
			{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: corev1.LabelTopologyZone, Values: []string{"z1", "z2"}}}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "now"}, Provisioner: "csi.example.com", VolumeBindingMode: &now},
	} {
		s.classes = append(s.classes, &class)
	}
	s.drivers = append(s.drivers, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "csi.example.com"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: ptr.To(g.chance(50))}})
	for _, node := range w.nodes {
		if g.chance(70) {
			driver := storagev1.CSINodeDriver{Name: "csi.example.com", NodeID: node.Name}
			if g.chance(70) {
				driver.Allocatable = &storagev1.VolumeNodeResources{Count: ptr.To(int32(g.IntN(4)))}
			}
			s.csiNodes = append(s.csiNodes, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node.Name}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{driver}}})
		}
	}
	if g.chance(80) { // one for each class: with several, which one counts is up to the order of a map
		s.capacities = append(s.capacities, &storagev1.CSIStorageCapacity{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "c"}, StorageClassName: "wait", Capacity: ptr.To(resource.MustParse(pick(g, "3Gi", "10Gi"))),
			NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{"disk": pick(g, "ssd", "hdd")}},
		})
	}
	for i := range 8 {
		volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pv-%d", i), ResourceVersion: "1"}}
		volume.Spec.StorageClassName = pick(g, "wait", "local", "zonal")
		volume.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(int64(1+i)<<30, resource.BinarySI)}
		volume.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadWriteOncePod}
		volume.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeFilesystem)
		volume.Status.Phase = corev1.VolumeAvailable
		if g.chance(40) {
			volume.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "csi.example.com", VolumeHandle: volume.Name}
		}
		if g.chance(60) {
			volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{g.nodeRequirement()}}}}}
		}
		if g.chance(30) {
			volume.Labels = map[string]string{pick(g, corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone): pick(g, "z1", "z2__z3")}
		}
		s.volumes = append(s.volumes, volume)
	}
	for i := range 8 {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace(), Name: fmt.Sprintf("claim-%d", i), ResourceVersion: "1"}}
		claim.UID = types.UID(claim.Name)
		claim.Spec.StorageClassName = ptr.To(pick(g, "wait", "wait", "local", "zonal", "now"))
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{pick(g, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)}
		claim.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeFilesystem)
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(int64(1+g.IntN(6))<<30+int64(i), resource.BinarySI)}
		switch {
		case i < 4 && g.chance(75):
			volume := s.volumes[i]
			claim.Spec.VolumeName, claim.Spec.StorageClassName = volume.Name, ptr.To(volume.Spec.StorageClassName)
			claim.Annotations = map[string]string{volumehelpers.AnnBindCompleted: "yes"}
			volume.Spec.ClaimRef = &corev1.ObjectReference{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID}
			volume.Status.Phase = corev1.VolumeBound
			if g.chance(10) {
				claim.Spec.VolumeName = "gone"
			}
		case g.chance(15):
			claim.Annotations = map[string]string{volumehelpers.AnnSelectedNode: pick(g, w.nodes...).Name}
		case g.chance(5):
			claim.Status.Phase = corev1.ClaimLost
		}
		s.claims = append(s.claims, claim)
	}
	return s
}

// mount gives some pods volumes.
func (g *generator) mount(pod *corev1.Pod, s *storage) {
	for g.chance(20) {
		volume := corev1.Volume{Name: g.name("volume")}
		switch g.IntN(8) {
		case 0:
			volume.AWSElasticBlockStore = &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: pick(g, "x", "y")}
		case 1:
			volume.ISCSI = &corev1.ISCSIVolumeSource{IQN: pick(g, "x", "y"), ReadOnly: g.chance(50)}
		case 2:
			volume.RBD = &corev1.RBDVolumeSource{CephMonitors: []string{pick(g, "a", "b")}, RBDPool: "p", RBDImage: "i", ReadOnly: g.chance(50)}
		default:
			claim := pick(g, s.claims...)
			pod.Namespace = claim.Namespace
			name := claim.Name
			if g.chance(4) {
				name = "absent"
			}
			volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
	}
}

// dropUsed takes from a pod the claims for one pod alone that others have: two
// such pods can't run. It also takes those that aren't in the pod's namespace, but in
// another: kube-scheduler's preemption believes that they are the same.
func (s *storage) dropUsed(pod *corev1.Pod, used map[string]bool) {
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		for _, claim := range s.claims {
			if volume.PersistentVolumeClaim == nil || claim.Name != volume.PersistentVolumeClaim.ClaimName ||
				!slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
				continue
			}
			if claim.Namespace != pod.Namespace {
				return true
			}
			if used[claim.Namespace+"/"+claim.Name] {
				return true
			}
			used[claim.Namespace+"/"+claim.Name] = true
		}
		return false
	})
}
