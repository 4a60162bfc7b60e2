// Package certificates approves, signs and cleans up CertificateSigningRequests
// for the built-in signers, so that a kubelet can join with a bootstrap token
// (https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/).
package certificates
