package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/conversion"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"
)

var (
	cellVersion    = schema.GroupVersion{Group: "operator.example.com", Version: "v1"}
	oldCellVersion = schema.GroupVersion{Group: "operator.example.com", Version: "v1alpha1"}
)

const cellFinalizer = "operator.example.com/burial"

// A cell is what the operator looks after: it has a ConfigMap that says how many
// cores it has.
type cell struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              cellSpec   `json:"spec,omitempty"`
	Status            cellStatus `json:"status,omitempty"`
}

type cellSpec struct {
	Cores int `json:"cores"`
}

type cellStatus struct {
	Phase string `json:"phase,omitempty"`
	By    string `json:"by,omitempty"`
}

func (c *cell) DeepCopyObject() runtime.Object {
	copied := *c
	copied.ObjectMeta = *c.ObjectMeta.DeepCopy()
	return &copied
}

func (*cell) Hub() {}

type cellList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []cell `json:"items"`
}

func (l *cellList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.Items = nil
	for i := range l.Items {
		copied.Items = append(copied.Items, *l.Items[i].DeepCopyObject().(*cell))
	}
	return &copied
}

// An oldCell says the same in another version.
type oldCell struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              oldCellSpec `json:"spec,omitempty"`
	Status            cellStatus  `json:"status,omitempty"`
}

type oldCellSpec struct {
	Size string `json:"size,omitempty"` // "2 cores"
}

func (c *oldCell) DeepCopyObject() runtime.Object {
	copied := *c
	copied.ObjectMeta = *c.ObjectMeta.DeepCopy()
	return &copied
}

func (c *oldCell) ConvertTo(hub conversion.Hub) error {
	to := hub.(*cell)
	to.ObjectMeta, to.Status = c.ObjectMeta, c.Status
	cores, err := strconv.Atoi(strings.TrimSuffix(c.Spec.Size, " cores"))
	to.Spec.Cores = cores
	return err
}

func (c *oldCell) ConvertFrom(hub conversion.Hub) error {
	from := hub.(*cell)
	c.ObjectMeta, c.Status = from.ObjectMeta, from.Status
	c.Spec.Size = fmt.Sprintf("%d cores", from.Spec.Cores)
	return nil
}

// cellRules are the operator's admission webhooks.
type cellRules struct{}

func (cellRules) Default(_ context.Context, c *cell) error {
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels["seen-by"] = "operator"
	return nil
}

func (cellRules) ValidateCreate(_ context.Context, c *cell) (admission.Warnings, error) {
	if c.Spec.Cores < 1 {
		return nil, errors.New("a cell needs cores")
	}
	return nil, nil
}

func (r cellRules) ValidateUpdate(ctx context.Context, _, c *cell) (admission.Warnings, error) {
	return r.ValidateCreate(ctx, c)
}

func (cellRules) ValidateDelete(context.Context, *cell) (admission.Warnings, error) { return nil, nil }

// A cellReconciler is the operator's controller.
type cellReconciler struct {
	client.Client
	name string
}

func (r *cellReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c := &cell{}
	if err := r.Get(ctx, request.NamespacedName, c); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !c.DeletionTimestamp.IsZero() {
		if !controllerutil.ContainsFinalizer(c, cellFinalizer) {
			return ctrl.Result{}, nil
		}
		grave := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: "grave-of-" + c.Name}}
		if err := r.Create(ctx, grave); client.IgnoreAlreadyExists(err) != nil {
			return ctrl.Result{}, err
		}
		controllerutil.RemoveFinalizer(c, cellFinalizer)
		return ctrl.Result{}, r.Update(ctx, c)
	}
	if controllerutil.AddFinalizer(c, cellFinalizer) {
		if err := r.Update(ctx, c); err != nil {
			return ctrl.Result{}, err
		}
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, owned, func() error {
		owned.Data = map[string]string{"cores": strconv.Itoa(c.Spec.Cores)}
		return controllerutil.SetControllerReference(c, owned, r.Scheme())
	}); err != nil {
		return ctrl.Result{}, err
	}
	c.Status = cellStatus{Phase: "Ready", By: r.name}
	return ctrl.Result{}, r.Status().Update(ctx, c)
}

func cellScheme(t *testing.T) *runtime.Scheme {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[schema.GroupVersionKind]runtime.Object{
		cellVersion.WithKind("Cell"): &cell{}, cellVersion.WithKind("CellList"): &cellList{}, oldCellVersion.WithKind("Cell"): &oldCell{},
	} {
		scheme.AddKnownTypeWithName(kind, object)
	}
	metav1.AddToGroupVersion(scheme, cellVersion)
	metav1.AddToGroupVersion(scheme, oldCellVersion)
	return scheme
}

// operate runs a manager as a user with only the rights that the operator needs.
// What it returns stops it.
func operate(t *testing.T, name string, access *rest.Config, webhooks webhook.Server) (ctrl.Manager, func()) {
	t.Helper()
	manager := must(ctrl.NewManager(access, ctrl.Options{
		Scheme: cellScheme(t), Logger: klog.Background().WithName(name),
		LeaderElection: true, LeaderElectionID: "cells", LeaderElectionNamespace: "default", LeaderElectionReleaseOnCancel: true,
		RetryPeriod: new(200 * time.Millisecond), RenewDeadline: new(5 * time.Second), LeaseDuration: new(8 * time.Second),
		Metrics: metricsserver.Options{BindAddress: "0"}, WebhookServer: webhooks,
		Controller: config.Controller{SkipNameValidation: new(true)},
	}))(t)
	err := ctrl.NewControllerManagedBy(manager).For(&cell{}).Owns(&corev1.ConfigMap{}).
		Complete(&cellReconciler{manager.GetClient(), name})
	if err == nil && webhooks != nil {
		err = ctrl.NewWebhookManagedBy(manager, &cell{}).WithDefaulter(cellRules{}).WithValidator(cellRules{}).Complete()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- manager.Start(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("manager %s: %v", name, err)
		}
	}
	t.Cleanup(stop)
	return manager, stop
}

// Parts of controller-runtime log by this one, whoever's manager they belong to.
func init() { ctrl.SetLogger(klog.Background()) }

// TestOperator runs an operator that is written on controller-runtime: two
// managers of which one leads, a cache, owned objects, finalizers, and webhooks
// for conversion and admission that are reached through a Service.
func TestOperator(t *testing.T) {
	t.Parallel() // most of the time it waits
	ctx := testContext(t)
	s := newServer(t, "")
	admin := must(client.New(s.config(), client.Options{Scheme: cellScheme(t)}))(t)
	until := func(what string, done func() error) {
		t.Helper()
		var last error
		if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
			last = done()
			return last == nil, nil
		}); err != nil {
			t.Fatalf("%s: %v, last: %v", what, err, last)
		}
	}

	port, certificates, authority := webhookServing(t, "cells.default.svc")
	for document := range strings.SplitSeq(strings.NewReplacer("PORT", strconv.Itoa(port), "AUTHORITY", authority).Replace(string(must(os.ReadFile("testdata/extensions/operator.yaml"))(t))), "---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			t.Fatal(err)
		}
		if err := admin.Create(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	until("the definition is established", func() error { return admin.List(ctx, &cellList{}) })

	access := rest.CopyConfig(s.config())
	access.CertData, access.KeyData = s.issue("operator")
	first, stopFirst := operate(t, "first", access, nil)
	<-first.Elected()
	webhooks := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: certificates})
	second, stopSecond := operate(t, "second", access, webhooks)
	until("the webhooks are served", func() error { return webhooks.StartedChecker()(nil) })

	// An old client's object is converted, defaulted and looked after.
	old := &oldCell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"}, Spec: oldCellSpec{Size: "2 cores"}}
	if err := admin.Create(ctx, old); err != nil {
		t.Fatal(err)
	}
	if old.Labels["seen-by"] != "operator" || old.Spec.Size != "2 cores" {
		t.Errorf("created: %+v", old)
	}
	name := client.ObjectKeyFromObject(old)
	settled := func(cores int, by string) func() error {
		return func() error {
			var c cell
			var owned corev1.ConfigMap
			if err := errors.Join(admin.Get(ctx, name, &c), admin.Get(ctx, name, &owned)); err != nil {
				return err
			}
			if c.Spec.Cores != cores || c.Status != (cellStatus{"Ready", by}) || owned.Data["cores"] != strconv.Itoa(cores) ||
				!controllerutil.ContainsFinalizer(&c, cellFinalizer) || !metav1.IsControlledBy(&owned, &c) {
				return fmt.Errorf("%+v, %+v", c, owned)
			}
			return nil
		}
	}
	until("the cell is ready", settled(2, "first"))
	if err := admin.Get(ctx, name, old); err != nil || old.Spec.Size != "2 cores" || old.Status.Phase != "Ready" {
		t.Errorf("as an old client sees it: %+v, %v", old, err)
	}
	if err := admin.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"}}); err != nil {
		t.Fatal(err)
	}
	until("what it owns is there again", settled(2, "first"))

	for what, object := range map[string]client.Object{
		"new": &cell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "none"}},
		"old": &oldCell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "none"}, Spec: oldCellSpec{Size: "0 cores"}},
	} {
		err := admin.Create(ctx, object)
		if want := `admission webhook "validate.operator.example.com" denied the request: a cell needs cores`; !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	// What can't be converted is refused in the words of who can't.
	err := admin.Create(ctx, &oldCell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "none"}, Spec: oldCellSpec{Size: "many"}})
	if err == nil || !strings.Contains(err.Error(), "conversion webhook for operator.example.com/v1alpha1, Kind=Cell failed") || !strings.Contains(err.Error(), `parsing "many"`) {
		t.Errorf("can't be converted: %v", err)
	}

	// The leader goes, and the other one goes on.
	select {
	case <-second.Elected():
		t.Error("both managers lead")
	default:
	}
	stopFirst()
	<-second.Elected()
	if err := admin.Patch(ctx, &cell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"}}, client.RawPatch(client.Merge.Type(), []byte(`{"spec":{"cores":3}}`))); err != nil {
		t.Fatal(err)
	}
	until("the other manager goes on", settled(3, "second"))

	// Deletion waits for the operator, and takes along what the cell owns.
	if err := admin.Delete(ctx, &cell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"}}); err != nil {
		t.Fatal(err)
	}
	gone := func(object client.Object) func() error {
		return func() error {
			if err := admin.Get(ctx, name, object); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%v, %+v", err, object)
			}
			return nil
		}
	}
	until("the cell is gone", gone(&cell{}))
	until("what it owned is gone", gone(&corev1.ConfigMap{}))
	if err := admin.Get(ctx, client.ObjectKey{Namespace: "default", Name: "grave-of-one"}, &corev1.ConfigMap{}); err != nil {
		t.Error(err)
	}

	// Without the webhooks nothing is let in that they are to see.
	stopSecond()
	err = admin.Create(ctx, &cell{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "two"}, Spec: cellSpec{Cores: 1}})
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), `failed calling webhook "default.operator.example.com": failed to call webhook: Post "https://cells.default.svc:`) {
		t.Errorf("without webhooks: %v", err)
	}
	if err := admin.List(ctx, &cellList{}); err != nil {
		t.Errorf("what needs no webhook: %v", err)
	}
}

// webhookServing makes a certificate for a name, and chooses a port. The authority
// is in base64.
func webhookServing(t *testing.T, name string) (port int, dir, authority string) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for file, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return freePort(t), dir, base64.StdEncoding.EncodeToString(certificate)
}
