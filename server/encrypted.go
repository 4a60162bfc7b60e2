package server

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/encryption"
	"github.com/howdah/howdah/storage"
)

// EncryptionOptions say how values are encrypted in the database; the zero
// value: not at all.
type EncryptionOptions struct {
	// ProviderConfig is an EncryptionConfiguration file.
	ProviderConfig string
	// AutomaticReload takes changes of the file over while the server runs.
	AutomaticReload bool
}

func (o EncryptionOptions) check() error {
	if o.AutomaticReload && o.ProviderConfig == "" {
		return errors.New("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
	}
	return nil
}

// sealer loads the encryption configuration; nil if there is none.
func (s *Server) sealer(resourceOf func(key string) schema.GroupResource) (storage.Sealer, error) {
	o := s.options.Encryption
	if o.ProviderConfig == "" {
		return nil, nil
	}
	var err error
	s.encryption, err = encryption.Load(encryption.Options{
		File: o.ProviderConfig, Reload: o.AutomaticReload, ServerID: serverID(),
		ResourceOf: func(key string) schema.GroupResource {
			// Private keys that servers share are worth as much as Secrets.
			if strings.HasPrefix(key, sharedPrefix) {
				return schema.GroupResource{Resource: "secrets"}
			}
			return resourceOf(key)
		},
	})
	if err != nil {
		return nil, err
	}
	for name, check := range s.encryption.Checks() {
		s.health.AddExceptLive(name, check)
	}
	return s.encryption, nil
}
