package main

import (
	"github.com/spf13/pflag"
	"k8s.io/kubernetes/pkg/controller/apis/config"
)

// addHousekeepingFlags adds the flags of the controllers of tokens, address
// ranges and policies, by kube-controller-manager's names and defaults.
func addHousekeepingFlags(flags *pflag.FlagSet, c *config.KubeControllerManagerConfiguration) {
	flags.Int32Var(&c.SAController.ConcurrentSATokenSyncs, "concurrent-serviceaccount-token-syncs", c.SAController.ConcurrentSATokenSyncs, "Secrets that get their token at the same time")
	flags.DurationVar(&c.LegacySATokenCleaner.CleanUpPeriod.Duration, "legacy-service-account-token-clean-up-period", c.LegacySATokenCleaner.CleanUpPeriod.Duration, "how long a generated token of a Secret must be unused before it becomes invalid, and invalid before it is deleted")
	p := &c.ValidatingAdmissionPolicyStatusController
	flags.Int32Var(&p.ConcurrentPolicySyncs, "concurrent-validating-admission-policy-status-syncs", p.ConcurrentPolicySyncs, "ValidatingAdmissionPolicies whose types are checked at the same time")
	k, n := &c.KubeCloudShared, &c.NodeIPAMController
	flags.BoolVar(&k.AllocateNodeCIDRs, "allocate-node-cidrs", k.AllocateNodeCIDRs, "give each node its part of --cluster-cidr for its pods")
	flags.StringVar(&k.ClusterCIDR, "cluster-cidr", k.ClusterCIDR, "CIDR of the pods' addresses, or one of each family; only with --allocate-node-cidrs")
	flags.StringVar(&k.CIDRAllocatorType, "cidr-allocator-type", k.CIDRAllocatorType, "how nodes get their part: RangeAllocator, all others need a cloud")
	flags.Int32Var(&n.NodeCIDRMaskSize, "node-cidr-mask-size", n.NodeCIDRMaskSize, "bits of a node's prefix; by default 24 for IPv4 and 64 for IPv6; not with two families")
	flags.Int32Var(&n.NodeCIDRMaskSizeIPv4, "node-cidr-mask-size-ipv4", n.NodeCIDRMaskSizeIPv4, "bits of a node's IPv4 prefix (default 24)")
	flags.Int32Var(&n.NodeCIDRMaskSizeIPv6, "node-cidr-mask-size-ipv6", n.NodeCIDRMaskSizeIPv6, "bits of a node's IPv6 prefix (default 64)")
}
