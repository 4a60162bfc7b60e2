package rootca

import (
	"errors"
	"maps"
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
	resource := corev1.Resource("configmaps")
	terminating := apierrors.NewForbidden(resource, configMap, errors.New("it is going"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	type strs = map[string]string
	ours, described := strs{"ca.crt": "ca"}, strs{descriptionAnnotation: description}
	with := func(data, annotations strs) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: configMap, Annotations: annotations}, Data: data}
	}
	for _, test := range []struct {
		name        string
		had         *corev1.ConfigMap
		answer      error  // of the API
		verb        string // of what is written; none: nothing is
		annotations strs
		fails       bool
	}{
		{name: "none", verb: "create", annotations: described},
		{name: "the right one", had: with(ours, described)},
		{name: "one that says something else of itself", had: with(ours, strs{descriptionAnnotation: "mine"})},
		{name: "one that says nothing of itself", had: with(ours, nil), verb: "update", annotations: described},
		{name: "an old authority", had: with(strs{"ca.crt": "old"}, described), verb: "update", annotations: described},
		{name: "something besides", had: with(strs{"ca.crt": "ca", "more": "x"}, described), verb: "update", annotations: described},
		{name: "nothing in it", had: with(nil, strs{"mine": "x"}), verb: "update", annotations: strs{"mine": "x", descriptionAnnotation: description}},
		{name: "a namespace that is gone", answer: apierrors.NewNotFound(corev1.Resource("namespaces"), "ns"), verb: "create", annotations: described},
		{name: "a namespace that is going", answer: terminating, verb: "create", annotations: described},
		{name: "none, where it may not", answer: apierrors.NewForbidden(resource, configMap, errors.New("no")), verb: "create", annotations: described, fails: true},
		{name: "an old one that somebody else writes", had: with(nil, nil), answer: apierrors.NewConflict(resource, configMap, errors.New("changed")), verb: "update", annotations: described, fails: true},
	} {
		known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
		if test.had != nil {
			if err := known.Add(test.had.DeepCopy()); err != nil {
				t.Fatal(err)
			}
		}
		client, verb := fake.NewSimpleClientset(), ""
		client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			verb = action.GetVerb()
			// What an update has a create has too.
			written := action.(clienttesting.UpdateAction).GetObject().(*corev1.ConfigMap)
			if action.GetNamespace() != "ns" || written.Name != configMap || !maps.Equal(written.Data, ours) || !maps.Equal(written.Annotations, test.annotations) {
				t.Errorf("%s: wrote %v", test.name, written)
			}
			return true, written, test.answer
		})
		x := &controller{client: client, maps: corelisters.NewConfigMapLister(known), data: ours}
		if err := x.sync(t.Context(), "ns"); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
		if verb != test.verb {
			t.Errorf("%s: %q, want %q", test.name, verb, test.verb)
		}
		if test.had == nil {
			continue
		}
		if cached, err := x.maps.ConfigMaps("ns").Get(configMap); err != nil || !maps.Equal(cached.Data, test.had.Data) || !maps.Equal(cached.Annotations, test.had.Annotations) {
			t.Errorf("%s: the informer's was changed: %v %v", test.name, cached, err)
		}
	}
}
