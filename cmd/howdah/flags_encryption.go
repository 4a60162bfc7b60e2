package main

import (
	"github.com/spf13/pflag"

	"github.com/howdah/howdah/server"
)

// encryptionFlags are kube-apiserver's flags for encryption at rest.
type encryptionFlags struct{ encryption server.EncryptionOptions }

func (f *encryptionFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.encryption.ProviderConfig, "encryption-provider-config", "", "EncryptionConfiguration file that says how values are encrypted in the database")
	flags.BoolVar(&f.encryption.AutomaticReload, "encryption-provider-config-automatic-reload", false, "take changes of --encryption-provider-config over within a minute; /healthz has then one check for all key services")
}
