package rootca

import (
	"errors"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func TestBundle(t *testing.T) {
	name, old := bundleName([]byte("ca")), bundleName([]byte("old"))
	if !strings.HasPrefix(name, "kubernetes.io:kube-apiserver-serving:") || name == old {
		t.Errorf("the names %q and %q", name, old)
	}
	with := func(name, signer, certificates string) *certificatesv1.ClusterTrustBundle {
		return &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: certificates}}
	}
	resource := certificatesv1.Resource("clustertrustbundles")
	type bundles = []*certificatesv1.ClusterTrustBundle
	for _, test := range []struct {
		name   string
		had    bundles
		verb   string // that the API answers with an error
		answer error
		want   string // what is asked for
		fails  bool
	}{
		{name: "none", want: "create " + name},
		{name: "the right one", had: bundles{with(name, signer, "ca")}},
		{name: "one that somebody changed", had: bundles{with(name, signer, "x")}, want: "update " + name},
		{name: "an old authority's", had: bundles{with(old, signer, "old")}, want: "create " + name + ", delete " + old},
		{name: "the right one and an old one", had: bundles{with(name, signer, "ca"), with(old, signer, "old")}, want: "delete " + old},
		{name: "others' bundles", had: bundles{with(name, signer, "ca"), with("mine", "", "x"), with("example.org:x:1", "example.org/x", "x")}},
		{name: "an old one that has just gone", had: bundles{with(name, signer, "ca"), with(old, signer, "old")}, verb: "delete", answer: apierrors.NewNotFound(resource, old), want: "delete " + old},
		{name: "an old one that it may not delete", had: bundles{with(name, signer, "ca"), with(old, signer, "old")}, verb: "delete", answer: apierrors.NewForbidden(resource, old, errors.New("no")), want: "delete " + old, fails: true},
		// Without the new one the old one stays.
		{name: "an old one where it may not publish", had: bundles{with(old, signer, "old")}, verb: "create", answer: apierrors.NewForbidden(resource, name, errors.New("no")), want: "create " + name, fails: true},
	} {
		known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		for _, b := range test.had {
			if err := known.Add(b); err != nil {
				t.Fatal(err)
			}
		}
		client := fake.NewSimpleClientset()
		var asked []string
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			var answer error
			if action.GetVerb() == test.verb {
				answer = test.answer
			}
			if gone, ok := action.(clienttesting.DeleteAction); ok {
				asked = append(asked, "delete "+gone.GetName())
				return true, nil, answer
			}
			// What an update has a create has too.
			written := action.(clienttesting.UpdateAction).GetObject().(*certificatesv1.ClusterTrustBundle)
			asked = append(asked, action.GetVerb()+" "+written.Name)
			if written.Spec != (certificatesv1.ClusterTrustBundleSpec{SignerName: signer, TrustBundle: "ca"}) {
				t.Errorf("%s: wrote %v", test.name, written.Spec)
			}
			return true, written, answer
		})
		x := &bundle{client: client, bundles: certificateslisters.NewClusterTrustBundleLister(known), name: name, rootCA: "ca"}
		if err := x.sync(t.Context(), ""); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := strings.Join(asked, ", "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
