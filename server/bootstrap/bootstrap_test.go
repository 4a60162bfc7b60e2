package bootstrap

import (
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/howdah/howdah/storage/storagetest"
)

func TestFirstStart(t *testing.T) {
	s := newServer(t, storagetest.Postgres(t), "192.0.2.1")
	var mu sync.Mutex
	var done []string
	began := time.Now()
	must(t, s.bootstrap.Run(t.Context(), func(hook string) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, hook)
	}))
	t.Logf("took %v", time.Since(began))
	slices.Sort(done)
	if want := slices.Sorted(slices.Values(s.bootstrap.Hooks())); !slices.Equal(done, want) {
		t.Errorf("hooks done are %q, want %q", done, want)
	}

	namespaces, err := s.client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	wantNames(t, namespaces.Items, "default", "kube-node-lease", "kube-public", "kube-system")
	classes, err := s.client.SchedulingV1().PriorityClasses().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	wantNames(t, classes.Items, "system-cluster-critical", "system-node-critical")
	service, err := s.client.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	must(t, err)
	if service.Spec.ClusterIP != "10.0.0.1" || service.Spec.Ports[0].Port != 443 || service.Spec.Ports[0].TargetPort.IntValue() != 6443 {
		t.Errorf("the kubernetes service is %+v", service.Spec)
	}
	schemas, err := s.client.FlowcontrolV1().FlowSchemas().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if got, want := len(schemas.Items), len(bootstrap.SuggestedFlowSchemas)+len(bootstrap.MandatoryFlowSchemas); got != want {
		t.Errorf("%d flow schemas, want %d", got, want)
	}
	roles, err := s.client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if got, want := len(roles.Items), len(bootstrappolicy.ClusterRoles())+len(bootstrappolicy.ControllerRoles()); got != want {
		t.Errorf("%d cluster roles, want %d", got, want)
	}
	bindings, err := s.client.RbacV1().RoleBindings("").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(bindings.Items) == 0 {
		t.Error("no role bindings in the system namespaces")
	}

	s.bootstrap.Start()
	awaitEndpoints(t, s, "192.0.2.1")
	awaitReadyCIDR(t, s)
	awaitTokenTracking(t, s)
}

// A start that finds everything in place writes nothing but its lease.
func TestLaterStart(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	first := newServer(t, endpoint, "192.0.2.1")
	first.run(t)
	awaitReadyCIDR(t, first)
	awaitTokenTracking(t, first)
	before := revision(t, first)
	first.stop()

	second := newServer(t, endpoint, "192.0.2.1")
	began := time.Now()
	second.run(t)
	t.Logf("took %v", time.Since(began))
	if after := revision(t, second); after != before {
		t.Errorf("a start on a finished cluster moved the revision from %s to %s", before, after)
	}
}

func TestUsersChangesStay(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	s := newServer(t, endpoint, "192.0.2.1")
	s.run(t)
	ctx := t.Context()

	namespace, err := s.client.CoreV1().Namespaces().Get(ctx, "kube-public", metav1.GetOptions{})
	must(t, err)
	namespace.Labels["team"] = "infra"
	must(t, second(s.client.CoreV1().Namespaces().Update(ctx, namespace, metav1.UpdateOptions{})))

	// A role keeps what is added and gets back what it lost.
	role, err := s.client.RbacV1().ClusterRoles().Get(ctx, "system:node-proxier", metav1.GetOptions{})
	must(t, err)
	lost := role.Rules[0]
	added := rbacv1.PolicyRule{APIGroups: []string{"example.com"}, Resources: []string{"things"}, Verbs: []string{"get"}}
	role.Rules = append(role.Rules[1:], added)
	must(t, second(s.client.RbacV1().ClusterRoles().Update(ctx, role, metav1.UpdateOptions{})))

	// One that is protected stays as it is, and so does a protected binding.
	protected, err := s.client.RbacV1().ClusterRoles().Get(ctx, "system:discovery", metav1.GetOptions{})
	must(t, err)
	protected.Annotations[rbacv1.AutoUpdateAnnotationKey] = "false"
	protected.Rules = nil
	must(t, second(s.client.RbacV1().ClusterRoles().Update(ctx, protected, metav1.UpdateOptions{})))
	binding, err := s.client.RbacV1().ClusterRoleBindings().Get(ctx, "system:public-info-viewer", metav1.GetOptions{})
	must(t, err)
	binding.Annotations[rbacv1.AutoUpdateAnnotationKey] = "false"
	binding.Subjects = nil
	must(t, second(s.client.RbacV1().ClusterRoleBindings().Update(ctx, binding, metav1.UpdateOptions{})))

	schema, err := s.client.FlowcontrolV1().FlowSchemas().Get(ctx, "kube-scheduler", metav1.GetOptions{})
	must(t, err)
	schema.Annotations["apf.kubernetes.io/autoupdate-spec"] = "false"
	schema.Spec.MatchingPrecedence = 777
	must(t, second(s.client.FlowcontrolV1().FlowSchemas().Update(ctx, schema, metav1.UpdateOptions{})))

	service, err := s.client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	must(t, err)
	service.Labels["team"] = "infra"
	must(t, second(s.client.CoreV1().Services("default").Update(ctx, service, metav1.UpdateOptions{})))
	s.stop()

	s = newServer(t, endpoint, "192.0.2.1")
	s.run(t)
	namespace, err = s.client.CoreV1().Namespaces().Get(ctx, "kube-public", metav1.GetOptions{})
	must(t, err)
	service, err = s.client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	must(t, err)
	if namespace.Labels["team"] != "infra" || service.Labels["team"] != "infra" {
		t.Error("labels of users are gone")
	}
	schema, err = s.client.FlowcontrolV1().FlowSchemas().Get(ctx, "kube-scheduler", metav1.GetOptions{})
	must(t, err)
	if schema.Spec.MatchingPrecedence != 777 {
		t.Error("a flow schema that opted out of updates was updated")
	}
	role, err = s.client.RbacV1().ClusterRoles().Get(ctx, "system:node-proxier", metav1.GetOptions{})
	must(t, err)
	protected, err = s.client.RbacV1().ClusterRoles().Get(ctx, "system:discovery", metav1.GetOptions{})
	must(t, err)
	binding, err = s.client.RbacV1().ClusterRoleBindings().Get(ctx, "system:public-info-viewer", metav1.GetOptions{})
	must(t, err)
	if len(protected.Rules)+len(binding.Subjects) > 0 {
		t.Errorf("what autoupdate protects was updated: %v %v", protected.Rules, binding.Subjects)
	}
	may := func(verb, resource string) bool {
		return slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb)
		})
	}
	if !may(lost.Verbs[0], lost.Resources[0]) || !may("get", "things") {
		t.Errorf("rules are %v, want the lost %v back and the added %v kept", role.Rules, lost, added)
	}
}

func TestSeveralServers(t *testing.T) {
	endpoint := storagetest.Postgres(t)
	addresses := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}
	servers := make([]*testServer, len(addresses))
	var starting sync.WaitGroup
	for i, address := range addresses {
		servers[i] = newServer(t, endpoint, address)
	}
	for _, s := range servers {
		starting.Go(func() {
			if err := s.bootstrap.Run(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	for _, s := range servers {
		s.bootstrap.Start()
	}
	awaitEndpoints(t, servers[0], addresses...)
	servers[2].stop()
	awaitEndpoints(t, servers[0], addresses[:2]...)
	servers[1].kill()
	awaitEndpoints(t, servers[0], addresses[0])
}

func TestDualStack(t *testing.T) {
	s := newServer(t, storagetest.Postgres(t), "192.0.2.1", "10.0.0.0/24", "fd00::/112")
	s.run(t)
	families := corev1.IPFamilyPolicyRequireDualStack
	service := testService("both", corev1.ServiceTypeClusterIP)
	service.Spec.IPFamilyPolicy = &families
	service, err := s.client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
	must(t, err)
	if len(service.Spec.ClusterIPs) != 2 {
		t.Fatalf("addresses are %v, want one of each family", service.Spec.ClusterIPs)
	}
	for _, ip := range service.Spec.ClusterIPs {
		address, err := s.client.NetworkingV1().IPAddresses().Get(t.Context(), ip, metav1.GetOptions{})
		must(t, err)
		if address.Spec.ParentRef.Name != "both" {
			t.Errorf("%s belongs to %+v", ip, address.Spec.ParentRef)
		}
	}
}

func wantNames[T any](t *testing.T, items []T, want ...string) {
	t.Helper()
	var got []string
	for i := range items {
		got = append(got, any(&items[i]).(metav1.Object).GetName())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %T %q, want %q", items, got, want)
	}
}

// revision is the store's, as a list of nothing says it.
func revision(t *testing.T, s *testServer) string {
	t.Helper()
	list, err := s.client.CoreV1().PodTemplates("default").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	return list.ResourceVersion
}

func awaitEndpoints(t *testing.T, s *testServer, want ...string) {
	t.Helper()
	w, err := s.client.CoreV1().Endpoints("default").Watch(t.Context(), metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", "kubernetes").String(),
	})
	must(t, err)
	var last []string
	//lint:ignore SA1019 a deprecated kind is served all the same
	await(t, w, func(e *corev1.Endpoints) bool {
		last = nil
		for _, subset := range e.Subsets {
			for _, address := range subset.Addresses {
				last = append(last, address.IP)
			}
		}
		slices.Sort(last)
		return slices.Equal(last, want)
	}, func() { t.Fatalf("endpoints are %v, want %v", last, want) })

	w, err = s.client.DiscoveryV1().EndpointSlices("default").Watch(t.Context(), metav1.ListOptions{
		LabelSelector: "kubernetes.io/service-name=kubernetes",
	})
	must(t, err)
	await(t, w, func(e *discoveryv1.EndpointSlice) bool { return len(e.Endpoints) == len(want) },
		func() { t.Fatalf("the endpoint slice has not %d endpoints", len(want)) })
}

func awaitReadyCIDR(t *testing.T, s *testServer) {
	t.Helper()
	w, err := s.client.NetworkingV1().ServiceCIDRs().Watch(t.Context(), metav1.ListOptions{})
	must(t, err)
	await(t, w, func(c *networkingv1.ServiceCIDR) bool {
		return apimeta.IsStatusConditionTrue(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady)
	}, func() { t.Fatal("the default range of service addresses is not ready") })
}

// awaitTokenTracking waits until the cluster says since when uses of tokens are
// noted.
func awaitTokenTracking(t *testing.T, s *testServer) {
	t.Helper()
	w, err := s.client.CoreV1().ConfigMaps("kube-system").Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=kube-apiserver-legacy-service-account-token-tracking"})
	must(t, err)
	await(t, w, func(c *corev1.ConfigMap) bool {
		_, err := time.Parse(time.DateOnly, c.Data["since"])
		return err == nil
	}, func() { t.Fatal("nobody notes uses of tokens") })
}

// await reads events until one has the object as it should be.
func await[T any](t *testing.T, w watch.Interface, reached func(T) bool, fail func()) {
	t.Helper()
	defer w.Stop()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok {
				t.Fatal("the watch ended")
			}
			if object, ok := event.Object.(T); ok && event.Type != watch.Deleted && reached(object) {
				return
			}
		case <-deadline:
			fail()
		}
	}
}
