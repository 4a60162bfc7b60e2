package protojson

import (
	"encoding/json"
	"reflect"
	"sort"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
)

type codable interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// compare checks a message against the long way, and says whether it was sure.
func compare(t testing.TB, typ *Type, goType reflect.Type, encoded []byte) bool {
	t.Helper()
	got, err := typ.Append(nil, encoded)
	if err != nil {
		return false
	}
	decoded := reflect.New(goType).Interface().(codable)
	if err := decoded.Unmarshal(encoded); err != nil {
		t.Fatalf("%s: made JSON of %x, which can't be decoded: %v", goType, encoded, err)
	}
	want, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("%s\n got %s\nwant %s", goType, got, want)
	}
	return true
}

// TestEveryKind fills every API type with random values.
func TestEveryKind(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(f *metav1.FieldsV1, c randfill.Continue) {
			f.SetRawString([]string{`{"f:metadata":{"f:labels":{}}}`, `{"k:{\"name\":\"a b<\"}":{}}`, `{}`, ``}[c.Intn(4)])
		},
		func(r *runtime.RawExtension, c randfill.Continue) {
			if c.Bool() {
				r.Raw = []byte(`{"a": "<b>"}`)
			}
		},
		func(i *intstr.IntOrString, c randfill.Continue) {
			if *i = intstr.FromInt32(c.Int31()); c.Bool() {
				*i = intstr.FromString(c.String(0))
			}
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse([]string{"0", "1", "100m", "1000m", "1024Mi", "128Mi", "1.5Gi", "12e6", "5k", "100000", "-3", "1n"}[c.Intn(12)])
		},
		func(t *metav1.Time, c randfill.Continue) {
			if c.Bool() {
				t.Time = time.Unix(c.Int63n(1<<32), 0)
			}
		},
		func(t *metav1.MicroTime, c randfill.Continue) {
			if c.Bool() {
				t.Time = time.Unix(c.Int63n(1<<32), c.Int63n(1e9))
			}
		},
	)
	kinds := make([]schema.GroupVersionKind, 0, 1000)
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		if _, ok := reflect.New(typ).Interface().(codable); ok {
			kinds = append(kinds, gvk)
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	planned, unsure, refused := 0, 0, map[string]bool{}
	for _, gvk := range kinds {
		goType := scheme.Scheme.AllKnownTypes()[gvk]
		typ, err := New(goType)
		if err != nil {
			refused[err.Error()] = true
			continue
		}
		planned++
		compare(t, typ, goType, nil)
		for range 20 {
			obj := reflect.New(goType).Interface()
			fill.Fill(obj)
			encoded, err := obj.(codable).Marshal()
			if err != nil {
				continue
			}
			if !compare(t, typ, goType, encoded) {
				unsure++
			}
		}
	}
	t.Logf("%d of %d kinds have a plan, %d answers were unsure; refused: %v", planned, len(kinds), unsure, refused)
	for _, obj := range []any{&corev1.Pod{}, &corev1.Node{}, &corev1.Secret{}, &corev1.Service{}} {
		if _, err := New(reflect.TypeOf(obj).Elem()); err != nil {
			t.Error(err)
		}
	}
}

func FuzzAppend(f *testing.F) {
	goType := reflect.TypeFor[corev1.Pod]()
	typ, err := New(goType)
	if err != nil {
		f.Fatal(err)
	}
	for _, pod := range []corev1.Pod{
		{},
		{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"a": "1", "b": "<2>"}, CreationTimestamp: metav1.Unix(1, 0),
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(`{"f:a":{}}`)}}}},
		{Spec: corev1.PodSpec{
			Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Containers: []corev1.Container{{Name: "c", Args: []string{"", "x"}, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}}},
		}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "Ready", Status: "True"}}}},
	} {
		encoded, err := pod.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		// Managed fields that are no JSON are an error the long way and are
		// copied the short one; nothing else may differ.
		var pod corev1.Pod
		if pod.Unmarshal(encoded) == nil {
			if _, err := json.Marshal(&pod); err != nil {
				return
			}
		}
		compare(t, typ, goType, encoded)
	})
}
