package node

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/features"
)

const nodeNameField = "spec.nodeName"

func (c call) verbIn(verbs ...string) bool { return slices.Contains(verbs, c.GetVerb()) }

// read is for namespaced objects that a node may also list and watch one by one.
func (c call) read(kind Kind) (bool, string) {
	switch {
	case !c.verbIn("get", "list", "watch"):
		return false, "can only read resources of this type"
	case c.GetSubresource() != "":
		return false, "cannot read subresource"
	case c.GetNamespace() == "":
		return false, "can only read namespaced object of this type"
	}
	return c.related(kind)
}

func (c call) get(kind Kind) (bool, string) {
	switch {
	case c.GetVerb() != "get":
		return false, "can only get individual resources of this type"
	case c.GetSubresource() != "":
		return false, "cannot get subresource"
	}
	return c.related(kind)
}

func (c call) updateStatus(kind Kind) (bool, string) {
	if !c.verbIn("update", "patch") {
		return false, "can only get/update/patch this type"
	}
	return c.related(kind)
}

// account lets nodes make tokens for the accounts of their pods, and read them.
func (c call) account() (bool, string) {
	switch {
	case c.GetVerb() == "get" && c.GetSubresource() == "":
		if !c.gates.Enabled(features.KubeletServiceAccountTokenForCredentialProviders) && !c.gates.Enabled(features.PodCertificateRequest) {
			return false, "not allowed to get service accounts"
		}
		return c.read(ServiceAccount)
	case c.GetVerb() != "create" || c.GetName() == "":
		return false, "can only create tokens for individual service accounts"
	case c.GetSubresource() != "token":
		return false, "can only create token subresource of serviceaccount"
	}
	return c.related(ServiceAccount)
}

// lease allows the node's own. NodeRestriction looks at the name of new ones,
// which is not in the request.
func (c call) lease() (bool, string) {
	switch {
	case !c.verbIn("get", "create", "update", "patch", "delete"):
		return false, "can only get, create, update, patch, or delete a node lease"
	case c.GetNamespace() != corev1.NamespaceNodeLease:
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	case c.GetVerb() != "create" && c.GetName() != c.node:
		return false, "can only access node lease with the same name as the requesting node"
	}
	return true, ""
}

// csiNode allows the node's own; as for leases, NodeRestriction does the rest.
func (c call) csiNode() (bool, string) {
	switch c.GetSubresource() {
	case "":
		if !c.verbIn("get", "create", "update", "patch", "delete") {
			return false, "can only get, create, update, patch, or delete a CSINode"
		}
	case "status":
		if !c.gates.Enabled(features.CSIVolumeHealth) {
			return false, "CSINode status access requires CSIVolumeHealth feature"
		}
		if !c.verbIn("get", "update", "patch") {
			return false, "can only get, update, or patch CSINode status"
		}
	default:
		return false, "cannot authorize CSINode subresources"
	}
	if c.GetVerb() != "create" && c.GetName() != c.node {
		return false, "can only access CSINode with the same name as the requesting node"
	}
	return true, ""
}

// slice allows the slices that name the node; NodeRestriction looks at new ones.
func (c call) slice() (bool, string) {
	if c.GetSubresource() != "" {
		return false, "cannot authorize ResourceSlice subresources"
	}
	switch c.GetVerb() {
	case "create":
		return true, ""
	case "get", "update", "patch", "delete":
		return c.related(ResourceSlice)
	case "watch", "list", "deletecollection":
		if c.selects(nodeNameField) {
			return true, ""
		}
		return false, "can only list/watch/deletecollection resourceslices with nodeName field selector"
	}
	return false, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
}

func (c call) certificateRequest() (bool, string) {
	if c.GetSubresource() != "" {
		return false, "nodes may not access the status subresource of PodCertificateRequests"
	}
	switch c.GetVerb() {
	case "create":
		return true, "" // NodeRestriction looks at what it is for
	case "get":
		return c.related(CertificateRequest)
	case "list", "watch":
		if c.selects(nodeNameField) {
			return true, ""
		}
		return false, "can only list/watch podcertificaterequests with nodeName field selector"
	}
	return false, fmt.Sprintf("nodes may not %s podcertificaterequests", c.GetVerb())
}

// self allows reads of the node's own object, also before it exists. For writes
// NodeRestriction makes sure of that.
func (c call) self() (bool, string) {
	switch c.GetSubresource() {
	case "":
		switch {
		case c.verbIn("create", "update", "patch"):
			return true, ""
		case !c.verbIn("get", "list", "watch"):
		case c.GetName() == c.node:
			return true, ""
		case c.GetName() == "":
			return false, fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", c.node)
		default:
			return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", c.node, c.GetName())
		}
	case "status":
		return c.verbIn("update", "patch"), ""
	}
	return false, ""
}

// pod allows reads of the pods of the node. For writes NodeRestriction makes
// sure that they are.
func (c call) pod() (bool, string) {
	switch c.GetSubresource() {
	case "":
		switch c.GetVerb() {
		case "get":
			return c.related(Pod)
		case "list", "watch":
			if c.selects(nodeNameField) {
				return true, ""
			}
			if c.GetName() != "" {
				return c.related(Pod)
			}
			return false, "can only list/watch pods with spec.nodeName field selector"
		case "create", "delete":
			return true, ""
		}
	case "status":
		return c.verbIn("update", "patch"), ""
	case "eviction":
		return c.GetVerb() == "create", ""
	}
	return false, ""
}
