package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// user makes a person with a client certificate of the cluster's authority, whom
// kubectl --context NAME acts for.
func (s *script) user(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: user NAME GROUP...")
	}
	certificate, key, err := s.cluster.servers[0].issue(args[0], args[1:])
	ts.Check(err)
	for _, file := range s.kubeconfigs {
		config, err := clientcmd.LoadFromFile(file)
		ts.Check(err)
		config.AuthInfos[args[0]] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
		context := config.Contexts[config.CurrentContext].DeepCopy()
		context.AuthInfo = args[0]
		config.Contexts[args[0]] = context
		ts.Check(clientcmd.WriteToFile(*config, file))
	}
}

// issue signs as an administrator would who has the authority's files.
func (s *server) issue(name string, groups []string) (certificate, key []byte, err error) {
	authority, err := cert.CertsFromFile(filepath.Join(s.dir, "pki", "ca.crt"))
	if err != nil {
		return nil, nil, err
	}
	signer, err := keyutil.PrivateKeyFromFile(filepath.Join(s.dir, "pki", "ca.key"))
	if err != nil {
		return nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority[0], private.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyutil.MarshalPrivateKeyToPEM(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, err
}
