package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// startBoth starts two servers, for what security costs: one that lets everybody
// do everything and keeps no record, and one with all of it on, whose clients are
// not administrators, who are above authorization and fair sharing.
func startBoth(ctx context.Context, binary, endpoint string, flags []string) (off, on *system, stop func(), err error) {
	dir, err := os.MkdirTemp("", "howdah-bench-secured-")
	if err != nil {
		return nil, nil, nil, err
	}
	stops := []func(){func() { os.RemoveAll(dir) }}
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	start := func(name string, more []string) (*system, error) {
		s, stopOne, err := startHowdah(ctx, binary, endpoint, append(more, flags...))
		if err != nil {
			return nil, err
		}
		stops = append(stops, stopOne)
		s.name = name
		return s, nil
	}
	if off, err = start("security off", insecure); err != nil {
		return nil, nil, nil, err
	}
	guards, err := writeGuards(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if on, err = start("security on", guards); err != nil {
		return nil, nil, nil, err
	}
	on.kubeconfig, err = beAccount(ctx, on.kubeconfig, dir)
	return off, on, stop, err
}

// insecure leaves on the plugin ServiceAccount, without which pods are smaller.
var insecure = []string{
	"--authorization-mode=AlwaysAllow",
	"--enable-priority-and-fairness=false", "--max-requests-inflight=100000", "--max-mutating-requests-inflight=100000",
	"--disable-admission-plugins=" + strings.Join([]string{
		"NamespaceLifecycle", "LimitRanger", "NodeRestriction", "TaintNodesByCondition", "PodSecurity", "Priority",
		"DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection", "PersistentVolumeClaimResize",
		"RuntimeClass", "CertificateApproval", "CertificateSigning", "ClusterTrustBundleAttest", "CertificateSubjectRestriction",
		"DefaultIngressClass", "PodTopologyLabels", "MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}, ","),
}

// writeGuards returns the flags that turn everything on that is not on already:
// all that is stored is encrypted, each call recorded.
func writeGuards(dir string) ([]string, error) {
	encryption, policy := filepath.Join(dir, "encryption.yaml"), filepath.Join(dir, "policy.yaml")
	const key = "c2VjcmV0IGlzIHNlY3VyZSwgb3IgaXMgaXQ/ISEhISE="
	for path, text := range map[string]string{
		encryption: "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n" +
			"- resources: ['*.*']\n  providers:\n  - aesgcm: {keys: [{name: bench, secret: " + key + "}]}\n  - identity: {}\n",
		policy: "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []string{
		"--encryption-provider-config=" + encryption,
		"--audit-policy-file=" + policy, "--audit-log-path=" + filepath.Join(dir, "audit.log"),
	}, nil
}

// beAccount makes a service account that may do everything because a role says
// so, and returns the kubeconfig with its token.
func beAccount(ctx context.Context, kubeconfig, dir string) (string, error) {
	admin, err := config(kubeconfig, 0)
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return "", err
	}
	const name, namespace = "bench", "kube-system"
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	day := int64(24 * time.Hour / time.Second)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	raw, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return "", err
	}
	for _, user := range raw.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token.Status.Token
	}
	path := filepath.Join(dir, "account.kubeconfig")
	if err := clientcmd.WriteToFile(*raw, path); err != nil {
		return "", err
	}
	account, err := config(path, 0)
	if err != nil {
		return "", err
	}
	if client, err = kubernetes.NewForConfig(account); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err == nil {
			return path, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("the service account's rights don't count: %w", err)
		}
	}
}
