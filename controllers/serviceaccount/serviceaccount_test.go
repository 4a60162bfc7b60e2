package serviceaccount

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func TestSync(t *testing.T) {
	accounts := corev1.Resource("serviceaccounts")
	terminating := apierrors.NewForbidden(accounts, account, errors.New("it is going"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, test := range []struct {
		name   string
		phase  corev1.NamespacePhase // of the namespace; none: it is gone
		has    string                // the account that is there
		answer error                 // of the API
		asks   bool                  // for an account
		fails  bool
	}{
		{name: "a new namespace", phase: corev1.NamespaceActive, asks: true},
		{name: "one that has its account", phase: corev1.NamespaceActive, has: account},
		{name: "one that has another account", phase: corev1.NamespaceActive, has: "builder", asks: true},
		{name: "one that is going", phase: corev1.NamespaceTerminating},
		{name: "one that is gone"},
		{name: "one whose account somebody else made", phase: corev1.NamespaceActive, answer: apierrors.NewAlreadyExists(accounts, account), asks: true},
		{name: "one that the API knows to be going", phase: corev1.NamespaceActive, answer: terminating, asks: true},
		{name: "one where it may not", phase: corev1.NamespaceActive, answer: apierrors.NewForbidden(accounts, account, errors.New("no")), asks: true, fails: true},
	} {
		namespaces := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		var errs []error
		if test.phase != "" {
			errs = append(errs, namespaces.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}, Status: corev1.NamespaceStatus{Phase: test.phase}}))
		}
		if test.has != "" {
			errs = append(errs, known.Add(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: test.has}}))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		client, asks := fake.NewSimpleClientset(), false
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			made := action.(clienttesting.CreateAction).GetObject().(*corev1.ServiceAccount)
			asks = action.GetNamespace() == "ns" && made.Name == account
			return true, made, test.answer
		})
		x := &controller{client: client, namespaces: corelisters.NewNamespaceLister(namespaces), accounts: corelisters.NewServiceAccountLister(known)}
		if err := x.sync(t.Context(), "ns"); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
		if asks != test.asks {
			t.Errorf("%s: asks for an account: %v", test.name, asks)
		}
	}
}
