package e2e

import (
	"crypto/x509"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/howdah/howdah/auth/pki/pkitest"
)

// user makes a person with a client certificate of the cluster's authority, whom
// kubectl --context NAME acts for.
func (s *script) user(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: user NAME GROUP...")
	}
	certificate, key := s.cluster.servers[0].issue(args[0], args[1:]...)
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
func (s *server) issue(name string, groups ...string) (certificate, key []byte) {
	s.t.Helper()
	return pkitest.Load(s.t, filepath.Join(s.dir, "pki")).ClientPEM(s.t, pkitest.Subject(name, x509.ExtKeyUsageClientAuth, groups...))
}
