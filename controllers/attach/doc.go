// Package attach attaches volumes to the nodes of the pods that use them, and
// detaches them when no pod there does any more
// (https://kubernetes.io/docs/concepts/storage/volumes/).
//
// It attaches and detaches nothing itself: for a CSI volume it creates and deletes
// a VolumeAttachment, on which the driver's external-attacher acts. iSCSI and
// Fibre Channel volumes need no attaching, but kubelets wait until the node's
// status has them. FlexVolumes are not attached.
//
// Which nodes want a volume is what pods, claims and volumes say; which hold it is
// what VolumeAttachments and nodes say. Two queues bring the two together. The one
// of volumes creates attachments, and asks for those to be detached that nobody
// wants. The one of nodes writes each node's status.volumesAttached, and detaches:
// a kubelet mounts only what that status has, so a volume is taken out of it first,
// by a write that fails if the kubelet said in the meantime that it uses the
// volume, and detached after. What the API says is all there is to know after a
// restart, but for how long a detach has waited.
package attach
