package server

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
	"k8s.io/kubernetes/plugin/pkg/admission/noderestriction"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/howdah/howdah/auth/authorization"
	"github.com/howdah/howdah/auth/node"
	"github.com/howdah/howdah/auth/rbac"
	"github.com/howdah/howdah/server/admission"
	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/server/metrics"
	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/storage"
)

// authorizing decides what callers may do.
type authorizing struct {
	*authorization.Chain
	engine  *rbac.Engine
	nodes   *node.Cached
	metrics *metrics.Authorizations
	log     *slog.Logger

	end     context.CancelFunc
	running sync.WaitGroup
}

func newAuthorizing(s *Server) (*authorizing, error) {
	a := &authorizing{
		engine: rbac.NewEngine(), nodes: node.NewCached(s.log), metrics: metrics.NewAuthorizations(),
		log: s.log, end: func() {},
	}
	var err error
	a.Chain, err = authorization.New(authorization.Config{
		Options: s.options.Authorization,
		Members: map[string]authorization.Member{
			modes.ModeRBAC: a.engine,
			modes.ModeNode: node.New(a.nodes, bootstrappolicy.NodeRules(), utilfeature.DefaultFeatureGate),
		},
		ServerID: serverID(),
		Logger:   s.log,
	})
	return a, err
}

// serverID is what kube-apiserver calls itself: the same after a restart.
func serverID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	sum := sha256.Sum256([]byte(host))
	return "apiserver-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// start reads the policy and follows it. The store was started, the first
// request did not come yet.
func (a *authorizing) start(store *storage.Store, getter *objects.Getter) {
	ctx, end := context.WithCancel(context.Background())
	a.end = end
	collection := func(group, resource string) *storage.Collection {
		if s := getter.Store(schema.GroupResource{Group: group, Resource: resource}); s != nil {
			return s.Collection()
		}
		return nil // turned off
	}
	const group = "rbac.authorization.k8s.io"
	loops := []func(context.Context){
		a.Run,
		// Roles are checked against escalation in all modes.
		a.engine.Follow(rbac.Collections{
			Roles: collection(group, "roles"), RoleBindings: collection(group, "rolebindings"),
			ClusterRoles: collection(group, "clusterroles"), ClusterRoleBindings: collection(group, "clusterrolebindings"),
		}, a.log),
	}
	if a.Has(modes.ModeNode) {
		loops = append(loops, a.nodes.Follow(node.Collections{
			Store: store, Pods: collection("", "pods"), PersistentVolumes: collection("", "persistentvolumes"),
			VolumeAttachments: collection("storage.k8s.io", "volumeattachments"), ResourceSlices: collection("resource.k8s.io", "resourceslices"),
			PodCertificateRequests: collection("certificates.k8s.io", "podcertificaterequests"),
		}))
	}
	for _, loop := range loops {
		a.running.Go(func() { loop(ctx) })
	}
}

// admission adds to the plugins the other half of the node authorizer, which
// leaves to it what kubelets write: without NodeRestriction a kubelet could make
// itself a pod that refers to any secret. kubeadm adds it, too.
func (a *authorizing) admission(o admission.Options) admission.Options {
	if a.Has(modes.ModeNode) && !slices.Contains(o.Disable, noderestriction.PluginName) {
		o.Enable = append(slices.Clone(o.Enable), noderestriction.PluginName)
	}
	return o
}

func (a *authorizing) stop() {
	a.end()
	a.running.Wait()
}

// authorize is the step of the flow that answers 403 to whom the chain does not
// allow the request.
func (s *Server) authorize(next http.Handler) http.Handler {
	const decisionKey, reasonKey = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, a := r.Context(), s.api.authorizing
		attributes, err := filters.GetAuthorizerAttributes(ctx)
		if err != nil {
			encode.Error(w, r, nil, err)
			return
		}
		began := time.Now()
		decision, reason, err := a.Authorize(ctx, attributes)
		took := time.Since(began)
		request.TrackAuthorizationLatency(ctx, took)
		a.metrics.Decided(decision, err, took)
		switch {
		case decision == authorizer.DecisionAllow: // an error may have come with it
			audit.AddAuditAnnotations(ctx, decisionKey, "allow", reasonKey, reason)
			next.ServeHTTP(w, r)
		case err != nil:
			audit.AddAuditAnnotations(ctx, reasonKey, "internal error")
			a.log.Error("a request could not be authorized", "method", r.Method, "path", r.URL.Path, "err", err)
			http.Error(w, fmt.Sprintf("Internal Server Error: %q: %v", r.RequestURI, err), http.StatusInternalServerError)
		default:
			audit.AddAuditAnnotations(ctx, decisionKey, "forbid", reasonKey, reason)
			a.log.Debug("forbidden", "method", r.Method, "path", r.URL.Path, "reason", reason)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			encode.Error(w, r, nil, responsewriters.ForbiddenStatusError(attributes, reason))
		}
	})
}
