package read

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/howdah/howdah/server/encode"
	"github.com/howdah/howdah/storage"
)

const (
	protobufType = "application/vnd.kubernetes.protobuf"
	jsonType     = "application/json"
	tableType    = "application/json;as=Table;v=v1;g=meta.k8s.io"
	partials     = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

// wanted is the list as upstream's encoders write it, from decoded objects.
func (s *server) wanted(gvr schema.GroupVersionResource, query, accept string) []byte {
	s.t.Helper()
	row := s.row(gvr)
	e := newEndpoint(row, s.deps)
	r := httptest.NewRequest(http.MethodGet, "/?"+query, nil)
	r.Header.Set("Accept", accept)
	format, err := encode.Negotiate(r, row)
	if err != nil {
		s.t.Fatal(err)
	}
	options := &metainternal.ListOptions{}
	values, _ := url.ParseQuery(query)
	options.Continue = values.Get("continue")
	if values.Get("limit") != "" {
		if err := json.Unmarshal([]byte(values.Get("limit")), &options.Limit); err != nil {
			s.t.Fatal(err)
		}
	}
	p, err := e.page(context.Background(), "", options)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := e.whole(context.Background(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	format.Object(w, r, row, http.StatusOK, list)
	return w.Body.Bytes()
}

// TestListsAreUpstreams compares lists that are written object by object with
// what upstream's encoders make of the decoded list.
func TestListsAreUpstreams(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.deps.ContinueLife = -1 // upstream's tokens have no time
	s.createPods(150)
	deployments := appsv1.SchemeGroupVersion.WithResource("deployments")
	replicas := int32(3)
	s.create(deployments, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "bench-01", Labels: map[string]string{"a": "b"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: pod(1).Spec},
		},
	})
	scalers := autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")
	s.create(scalers, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "bench-01"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			MaxReplicas: 5, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "web", APIVersion: "apps/v1"},
		},
	})
	claims := corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")
	s.create(claims, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "bench-01"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{"ReadWriteOnce"},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": quantity.MustParse("1Gi")}},
		},
	})

	oldScalers := schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}
	empty := corev1.SchemeGroupVersion.WithResource("configmaps")
	path := func(gvr schema.GroupVersionResource) string {
		if gvr.Group == "" {
			return "/api/v1/" + gvr.Resource
		}
		return "/apis/" + gvr.Group + "/" + gvr.Version + "/" + gvr.Resource
	}
	for _, gvr := range []schema.GroupVersionResource{pods(), deployments, scalers, oldScalers, claims, empty} {
		for _, accept := range []string{
			protobufType, jsonType, "application/yaml", jsonType + ";pretty=1", tableType, jsonType + partials, protobufType + partials,
			strings.Replace(jsonType+partials, "v=v1", "v=v1beta1", 1), strings.Replace(protobufType+partials, "v=v1", "v=v1beta1", 1),
			strings.Replace(tableType, "v=v1", "v=v1beta1", 1),
		} {
			for _, query := range []string{"", "limit=20", "includeObject=None", "includeObject=Object"} {
				if strings.HasPrefix(query, "include") && !strings.Contains(accept, "Table") {
					continue
				}
				var want []byte
				var got *httptest.ResponseRecorder
				for same := false; !same; { // tables tell ages, in seconds
					want = s.wanted(gvr, query, accept)
					got = s.ask(path(gvr)+"?"+query, "Accept", accept)
					same = bytes.Equal(want, s.wanted(gvr, query, accept))
				}
				if got.Code != http.StatusOK || !bytes.Equal(got.Body.Bytes(), want) {
					t.Errorf("%s?%s as %s: %d\n got %s\nwant %s", gvr.Resource, query, accept, got.Code, around(got.Body.Bytes(), want), around(want, got.Body.Bytes()))
				}
				if mediaType, _, _ := strings.Cut(accept, ";"); got.Header().Get("Content-Type") != mediaType {
					t.Errorf("content type %q for %q", got.Header().Get("Content-Type"), accept)
				}
			}
		}
	}
	plain, zipped := s.must("/api/v1/pods"), s.ask("/api/v1/pods", "Accept-Encoding", "gzip")
	if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("Vary") != "Accept-Encoding" || !bytes.Equal(zipped.Body.Bytes(), plain) {
		t.Errorf("gzip: %v, %d bytes, want %d", zipped.Header(), zipped.Body.Len(), len(plain))
	}
	if small := s.ask("/api/v1/pods?limit=1", "Accept-Encoding", "gzip"); small.Header().Get("Content-Encoding") != "" {
		t.Error("a small list was compressed")
	}
}

// around is the part of a where it begins to differ from b.
func around(a, b []byte) []byte {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return a[max(0, i-200):min(len(a), i+400)]
}

func TestListPages(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.createPods(25)
	list := func(query string) corev1.PodList {
		var l corev1.PodList
		if err := json.Unmarshal(s.must("/api/v1/pods?"+query), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := list("limit=10")
	if len(first.Items) != 10 || first.RemainingItemCount == nil || *first.RemainingItemCount != 15 {
		t.Fatalf("first page: %d items, %+v", len(first.Items), first.ListMeta)
	}
	s.create(pods(), pod(100))
	s.delete(pods(), first.Items[9].Namespace, first.Items[9].Name)
	second := list("limit=10&continue=" + first.Continue)
	third := list("limit=10&continue=" + second.Continue)
	if len(second.Items) != 10 || *second.RemainingItemCount != 5 || len(third.Items) != 5 || third.Continue != "" || third.RemainingItemCount != nil {
		t.Fatalf("%d %+v, %d %+v", len(second.Items), second.ListMeta, len(third.Items), third.ListMeta)
	}
	if second.ResourceVersion != first.ResourceVersion || third.ResourceVersion != first.ResourceVersion {
		t.Error("pages are of different revisions")
	}
	seen := map[string]bool{}
	for _, item := range append(append(first.Items, second.Items...), third.Items...) {
		seen[item.Name] = true
	}
	if len(seen) != 25 || seen[podName(100)] {
		t.Errorf("%d pods", len(seen))
	}
	if l := list("limit=10&resourceVersion=0"); len(l.Items) != 25 || l.Continue != "" {
		t.Errorf("resourceVersion=0 with a limit: %d items, continue %q", len(l.Items), l.Continue)
	}
	if l := list("resourceVersionMatch=Exact&resourceVersion=" + first.ResourceVersion); len(l.Items) != 25 || l.ResourceVersion != first.ResourceVersion {
		t.Errorf("exact: %d items at %s", len(l.Items), l.ResourceVersion)
	}
	if l := list("limit=3&labelSelector=app%3Dweb-3"); len(l.Items) != 1 || l.Continue != "" || l.RemainingItemCount != nil {
		t.Errorf("selected: %d items %+v", len(l.Items), l.ListMeta)
	}
	if l := list("limit=3&labelSelector=tier%3Dfrontend"); len(l.Items) != 3 || l.Continue == "" || l.RemainingItemCount != nil {
		t.Errorf("selected: %d items %+v", len(l.Items), l.ListMeta)
	}
	if l := list("fieldSelector=spec.nodeName%3Dnode-0007"); len(l.Items) != 1 || l.Items[0].Name != podName(7) {
		t.Errorf("by node: %d items", len(l.Items))
	}
	if l := list("fieldSelector=metadata.name%3D" + podName(7)); len(l.Items) != 1 || l.Items[0].Name != podName(7) {
		t.Errorf("by name: %d items", len(l.Items))
	}
	if l := list("fieldSelector=metadata.namespace%3Dbench-04"); len(l.Items) != 1 {
		t.Errorf("by namespace: %d items", len(l.Items))
	}
}

func TestListRefusals(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.createPods(3)
	for _, c := range []struct {
		query   string
		code    int
		reason  metav1.StatusReason
		message string
	}{
		{"resourceVersion=x", 400, "BadRequest", `invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{"limit=x", 400, "BadRequest", `strconv.ParseInt: parsing "x": invalid syntax`},
		{"continue=x", 400, "BadRequest", `invalid continue token: continue key is not valid: illegal base64 data at input byte 0`},
		{"resourceVersionMatch=Exact", 422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided`},
		{"resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"`},
		{"sendInitialEvents=true", 422, "Invalid", `ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list`},
		{"fieldSelector=spec.color%3Dred", 400, "BadRequest", `field label not supported: spec.color`},
		{"fieldSelector=spec.nodeName", 400, "BadRequest", `invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'`},
		{"labelSelector=a+b", 400, "BadRequest", `unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt`},
		{"resourceVersionMatch=Exact&resourceVersion=1000", 504, "Timeout", `Timeout: Too large resource version: 1000, current: 3`},
		{"resourceVersionMatch=NotOlderThan&resourceVersion=1000", 504, "Timeout", `Timeout: Too large resource version: 1000, current: 3`},
	} {
		t.Run(c.query, func(t *testing.T) {
			t.Parallel()
			w := s.ask("/api/v1/pods?" + c.query)
			var status metav1.Status
			if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.code || status.Code != int32(c.code) || status.Reason != c.reason || status.Message != c.message {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if c.code == 504 && !apierrors.HasStatusCause(&apierrors.StatusError{ErrStatus: status}, metav1.CauseTypeResourceVersionTooLarge) {
				t.Errorf("no cause in %s", w.Body)
			}
		})
	}
	w := s.ask("/api/v1/pods", "Accept", "text/html")
	if w.Code != http.StatusNotAcceptable || !strings.Contains(w.Body.String(), `only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
