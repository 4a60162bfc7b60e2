package impersonation

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	associatedNode = "associated-node"
	legacy         = "legacy"
)

// A mode is one kind of impersonation.
type mode struct {
	name string
	// fits says whether the mode is for such a user and caller; nil: for all.
	fits func(wanted *user.DefaultInfo, caller user.Info) bool
}

// modes in the order in which they are tried.
var modes = []mode{
	{associatedNode, func(wanted *user.DefaultInfo, caller user.Info) bool {
		node, ok := nodeName(wanted.Name)
		_, _, err := serviceaccount.SplitUsername(caller.GetName())
		on := caller.GetExtra()[serviceaccount.NodeNameKey]
		return ok && onlyName(wanted) && err == nil && len(on) == 1 && on[0] == node
	}},
	{"arbitrary-node", func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, ok := nodeName(wanted.Name)
		return ok && onlyName(wanted)
	}},
	{"serviceaccount", func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, _, err := serviceaccount.SplitUsername(wanted.Name)
		return err == nil && onlyName(wanted)
	}},
	{"user-info", func(wanted *user.DefaultInfo, _ user.Info) bool {
		_, node := nodeName(wanted.Name)
		_, _, err := serviceaccount.SplitUsername(wanted.Name)
		return !node && err != nil
	}},
	{legacy, nil},
}

func (m mode) constrained() bool { return m.name != legacy }

// verb is what a caller must be allowed to do with the other user.
func (m mode) verb() string {
	if !m.constrained() {
		return "impersonate"
	}
	return "impersonate:" + m.name
}

func (m mode) constraint() string {
	if !m.constrained() {
		return ""
	}
	return m.verb()
}

// caller is the user whom the authorizer is asked about. One who becomes the node
// it runs on has been found to run there; which of many nodes that is must not
// matter to the authorizer.
func (m mode) caller(u user.Info) user.Info {
	if m.name != associatedNode {
		return u
	}
	return &user.DefaultInfo{
		Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(),
		Extra: map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.GetExtra()))},
	}
}

func onlyName(u *user.DefaultInfo) bool {
	return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0
}

// nodeName is the name of the node whose user it is.
func nodeName(name string) (string, bool) {
	node, ok := strings.CutPrefix(name, "system:node:")
	return node, ok && len(validation.NameIsDNSSubdomain(node, false)) == 0
}
