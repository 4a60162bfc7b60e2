package server

import (
	"fmt"

	restclient "k8s.io/client-go/rest"

	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/server/custom"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
)

// newCustom prepares for custom resources.
func newCustom(s *Server, table *resource.Table, getter *objects.Getter, self *restclient.Config) (*custom.Resources, error) {
	services, err := admission.NewServiceResolver(getter, s.options.Admission.AggregatorRouting)
	if err != nil {
		return nil, err
	}
	resources, err := custom.New(custom.Config{
		Table: table, Store: s.store, Objects: getter, Loopback: self,
		Services: services, Credentials: admission.WebhookClients(self), Logger: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare for custom resources: %w", err)
	}
	return resources, nil
}
