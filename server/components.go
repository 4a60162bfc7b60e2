package server

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/howdah/howdah/controllers"
	"github.com/howdah/howdah/server/component"
	"github.com/howdah/howdah/server/component/reader"
	"github.com/howdah/howdah/server/loopback"
)

// embeddedLeader is the identity of the only server of an embedded database. It
// is always the same, so that a server that crashed leads again at once and not
// when its old lease has expired.
const embeddedLeader = "howdah"

// leadPause is how long a component that ended with an error waits.
const leadPause = 5 * time.Second

// A clientComponent is a part of the control plane that sees the cluster as a
// client does, and of which one instance in the cluster works at a time.
type clientComponent struct {
	user  string // as which it elects its leader
	lease string
	name  string // in the events of the lease
	run   func(ctx context.Context) error
}

// components runs the parts of the control plane that are clients of the API,
// in this process and without a socket.
type components struct {
	s         *Server
	informers *component.Informers
	end       context.CancelFunc
	running   sync.WaitGroup
}

// startComponents starts what the options ask for; it doesn't wait until
// anything works.
func startComponents(s *Server) (*components, error) {
	c := &components{s: s}
	ctx, end := context.WithCancel(context.Background())
	c.end = end
	// Shared informers read as upstream's do.
	client, err := reader.New(c.as(&user.DefaultInfo{Name: user.KubeControllerManager, Groups: []string{user.AllAuthenticated}}, "shared-informers"))
	if err != nil {
		return nil, err
	}
	c.informers = component.NewInformers(client)
	var all []clientComponent
	if s.options.Controllers != nil && !s.options.Controllers.None() {
		controllers, err := c.controllers(s.options.Controllers)
		if err != nil {
			return nil, err
		}
		all = append(all, controllers)
	}
	if s.api.scheduler != nil {
		all = append(all, c.scheduler(s.api.scheduler))
	}
	for _, one := range all {
		client, err := kubernetes.NewForConfig(c.as(&user.DefaultInfo{Name: one.user, Groups: []string{user.AllAuthenticated}}, "leader-election"))
		if err != nil {
			return nil, fmt.Errorf("make a client for the lease %s: %w", one.lease, err)
		}
		c.running.Go(func() { c.lead(ctx, client, one) })
	}
	return c, nil
}

func (c *components) lead(ctx context.Context, client kubernetes.Interface, one clientComponent) {
	election := component.Election{Name: one.lease, Source: one.name}
	if c.s.options.DatastoreEndpoint == "" {
		election.Identity = embeddedLeader
	}
	for ctx.Err() == nil {
		err := component.Lead(ctx, client, election, c.s.log, one.run)
		if err == nil {
			continue
		}
		c.s.log.Error("a component of the control plane ended, starting it again", "lease", one.lease, "in", leadPause, "err", err)
		select {
		case <-time.After(leadPause):
		case <-ctx.Done():
		}
	}
}

// stop ends the components and waits until they have given up their leases,
// for which the server must still answer, or until ctx ends.
func (c *components) stop(ctx context.Context) error {
	c.end()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.running.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the scheduler and the controllers did not end in time: %w", context.Cause(ctx))
	}
}

// as is the access of a user to this server; agent is who changed what in
// managedFields.
func (c *components) as(u user.Info, agent string) *rest.Config {
	config := loopback.Config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.s.api.handler.ServeHTTP(w, r) }), u)
	config.UserAgent = "kube-controller-manager/" + agent
	return config
}

func (c *components) controllers(options *controllers.Options) (clientComponent, error) {
	own := *options
	if len(own.RootCA) == 0 {
		var err error
		if own.RootCA, err = c.s.tls.RootCA(); err != nil {
			return clientComponent{}, err
		}
	}
	// What is signed for the cluster is signed by its authority.
	if s := &own.Config.CSRSigningController; s.ClusterSigningCertFile == "" {
		s.ClusterSigningCertFile, s.ClusterSigningKeyFile = c.s.tls.AuthorityFiles()
	}
	if own.SecretToken == nil {
		own.SecretToken = c.s.api.authentication.keys.SignSecret
	}
	own.Objects = c.s.api.followed
	own.ServiceRanges = nil
	for _, r := range c.s.options.ServiceClusterIPRanges {
		prefix, err := netip.ParsePrefix(r.String())
		if err != nil {
			return clientComponent{}, fmt.Errorf("read the range of Services %s: %w", r.String(), err)
		}
		own.ServiceRanges = append(own.ServiceRanges, prefix)
	}
	if err := own.Validate(); err != nil {
		return clientComponent{}, err
	}
	return clientComponent{
		user:  user.KubeControllerManager,
		lease: controllers.LeaseName,
		name:  "kube-controller-manager",
		run: func(ctx context.Context) error {
			return controllers.Run(ctx, &own, c.serviceAccount, c.informers, c.s.log)
		},
	}, nil
}

// serviceAccount is the access of a service account of kube-system, which need
// not exist, or without a name that of the controller manager itself.
func (c *components) serviceAccount(name string) (*rest.Config, error) {
	if name == "" {
		return c.as(&user.DefaultInfo{Name: user.KubeControllerManager, Groups: []string{user.AllAuthenticated}}, user.KubeControllerManager), nil
	}
	account := (&serviceaccount.ServiceAccountInfo{Namespace: "kube-system", Name: name}).UserInfo()
	return c.as(&user.DefaultInfo{Name: account.GetName(), Groups: append(account.GetGroups(), user.AllAuthenticated)}, account.GetName()), nil
}
