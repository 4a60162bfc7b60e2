package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/howdah/howdah/controllers/bootstraptoken"
	"github.com/howdah/howdah/controllers/certificates"
	"github.com/howdah/howdah/controllers/nodeipam"
	"github.com/howdah/howdah/controllers/policystatus"
	"github.com/howdah/howdah/controllers/rootca"
	"github.com/howdah/howdah/controllers/serviceaccount"
	"github.com/howdah/howdah/controllers/servicecidr"
	"github.com/howdah/howdah/controllers/storagemigration"
)

// rangeAllocator is the only --cidr-allocator-type without a cloud.
const rangeAllocator = "RangeAllocator"

// housekeeping are the small controllers of what a cluster as a whole needs:
// tokens, trust, address ranges, what policies are worth.
func housekeeping(o *Options) []row {
	c := &o.Config
	return []row{
		{
			name: names.ServiceAccountTokenController, aliases: []string{"serviceaccount-token"},
			setup: serviceaccount.Tokens(serviceaccount.TokenOptions{
				Workers: int(c.SAController.ConcurrentSATokenSyncs), RootCA: o.RootCA, Sign: o.SecretToken,
			}),
		}, {
			name: names.LegacyServiceAccountTokenCleanerController, aliases: []string{"legacy-service-account-token-cleaner"},
			account: "legacy-service-account-token-cleaner",
			setup: serviceaccount.CleanLegacy(serviceaccount.LegacyOptions{
				Unused: c.LegacySATokenCleaner.CleanUpPeriod.Duration,
				Names: func(pod *corev1.Pod, visit func(string) bool) bool {
					return podutil.VisitPodSecretNames(pod, visit)
				},
			}),
		}, {
			name: names.BootstrapSignerController, aliases: []string{"bootstrapsigner"},
			account: "bootstrap-signer", offByDefault: true,
			setup: bootstraptoken.Sign,
		}, {
			name: names.TokenCleanerController, aliases: []string{"tokencleaner"},
			account: "token-cleaner", offByDefault: true,
			setup: bootstraptoken.Clean,
		}, {
			name: names.NodeIpamController, aliases: []string{"nodeipam"},
			account: "node-controller",
			setup:   nodeipam.Setup(nodeipam.Options{Ranges: o.podRanges, Services: o.ServiceRanges}),
		}, {
			name:    names.ServiceCIDRController,
			account: "service-cidrs-controller",
			setup:   servicecidr.Setup,
		}, {
			name:    names.ValidatingAdmissionPolicyStatusController,
			account: "validatingadmissionpolicy-status-controller",
			setup:   policystatus.Setup(int(c.ValidatingAdmissionPolicyStatusController.ConcurrentPolicySyncs)),
		}, {
			name:    names.PodCertificateRequestCleanerController,
			account: "podcertificaterequestcleaner",
			setup:   certificates.CleanPodRequests,
		}, {
			name:    names.KubeAPIServerClusterTrustBundlePublisherController,
			account: "kube-apiserver-serving-clustertrustbundle-publisher",
			setup:   rootca.Bundle(o.RootCA),
		}, {
			name: names.StorageVersionMigratorController, aliases: []string{"svm"},
			account: "storage-version-migrator-controller",
			setup:   storagemigration.Setup,
		},
	}
}

// completeHousekeeping reads, and checks, what the options of [housekeeping] say
// in words.
func (o *Options) completeHousekeeping() error {
	c := &o.Config
	if c.LegacySATokenCleaner.CleanUpPeriod.Duration <= 0 {
		return errors.New("--legacy-service-account-token-clean-up-period must be more than 0")
	}
	for name, workers := range map[string]int32{
		"concurrent-serviceaccount-token-syncs":               c.SAController.ConcurrentSATokenSyncs,
		"concurrent-validating-admission-policy-status-syncs": c.ValidatingAdmissionPolicyStatusController.ConcurrentPolicySyncs,
	} {
		if workers <= 0 {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	o.podRanges = nil
	if !c.KubeCloudShared.AllocateNodeCIDRs {
		return nil
	}
	if kind := c.KubeCloudShared.CIDRAllocatorType; kind != rangeAllocator {
		return fmt.Errorf("--cidr-allocator-type is %q: without a cloud it can only be %s", kind, rangeAllocator)
	}
	var clusters []netip.Prefix
	for _, text := range strings.Split(c.KubeCloudShared.ClusterCIDR, ",") {
		cluster, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("--allocate-node-cidrs needs --cluster-cidr, a CIDR or one of each family: %w", err)
		}
		clusters = append(clusters, cluster)
	}
	n := &c.NodeIPAMController
	var err error
	o.podRanges, err = nodeipam.NewRanges(clusters, int(n.NodeCIDRMaskSize), int(n.NodeCIDRMaskSizeIPv4), int(n.NodeCIDRMaskSizeIPv6))
	return err
}
