package transcode

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/randfill"
)

// object is what the API has.
type object interface {
	runtime.Object
	decoder
	Marshal() ([]byte, error)
}

// types are the built-in types that have a protobuf encoding.
func types(t testing.TB) (*runtime.Scheme, []schema.GroupVersionKind) {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	var kinds []schema.GroupVersionKind
	for gvk, goType := range s.AllKnownTypes() {
		if _, ok := reflect.New(goType).Interface().(object); ok && goType.Field(0).Type == reflect.TypeFor[metav1.TypeMeta]() {
			kinds = append(kinds, gvk)
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	return s, kinds
}

// oracle is what upstream's serializer writes for the decoded object.
func oracle(goType reflect.Type, body []byte, kind, apiVersion string) ([]byte, error) {
	decoded := reflect.New(goType).Interface().(object)
	if err := decoded.Unmarshal(body); err != nil {
		return nil, err
	}
	decoded.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind))
	var out bytes.Buffer
	err := kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, nil, nil, kjson.SerializerOptions{}).Encode(decoded, &out)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// check compares a plan's answer with the oracle's, and says whether the plan
// had it without decoding.
func check(t testing.TB, p *Plan, body []byte, kind, apiVersion string) (short bool) {
	t.Helper()
	want, wantErr := oracle(p.goType, body, kind, apiVersion)
	_, short = p.short(nil, body, kind, apiVersion)
	before := []byte("before")
	got, err := p.AppendJSON(before, body, kind, apiVersion)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%s: error is %v, want %v\nbody %x", p.goType, err, wantErr, body)
	}
	if err != nil {
		want = nil
	}
	if rest, ok := bytes.CutPrefix(got, before); !ok || !bytes.Equal(rest, want) {
		t.Fatalf("%s, body %x\n got %s\nwant %s", p.goType, body, got, want)
	}
	return short
}

func filler(seed int64, nils float64) *randfill.Filler {
	pick := func(c randfill.Continue, of ...string) string { return of[c.Intn(len(of))] }
	return randfill.NewWithSeed(seed).NilChance(nils).NumElements(0, 3).MaxDepth(14).Funcs(
		func(f *metav1.FieldsV1, c randfill.Continue) {
			f.SetRawString(pick(c, ``, `{}`, `{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}`, `{"k:{\"name\":\"a b<\"}":{}}`, `{"f:é":{}, "v:1":{}}`))
		},
		func(r *runtime.RawExtension, c randfill.Continue) {
			if s := pick(c, ``, `null`, `{"a": "<b>"}`, `[1, 2]`); s != "" {
				r.Raw = []byte(s)
			}
		},
		func(j *apiextensionsv1.JSON, c randfill.Continue) { j.Raw = []byte(pick(c, ``, `1`, `{"a": "<b>"}`)) },
		func(i *intstr.IntOrString, c randfill.Continue) {
			if *i = intstr.FromInt32(int32(c.Uint32())); c.Bool() {
				*i = intstr.FromString(c.String(0))
			}
		},
		func(q *resource.Quantity, c randfill.Continue) {
			if c.Intn(10) > 0 {
				*q = resource.MustParse(pick(c, "0", "1", "100m", "1000m", "1500m", "1024Mi", "128Mi", "65786040Ki", "1.5Gi", "12e6", "5k", "100000", "-3", "1n", "9E"))
			}
		},
		func(at *metav1.Time, c randfill.Continue) {
			if c.Bool() {
				at.Time = time.Unix(c.Int63n(1<<33)-1<<30, c.Int63n(1e9))
			}
		},
		func(at *metav1.MicroTime, c randfill.Continue) {
			if c.Bool() {
				at.Time = time.Unix(c.Int63n(1<<33)-1<<30, c.Int63n(1e9))
			}
		},
		func(f *float64, c randfill.Continue) {
			*f = []float64{0, 1, -0.5, 1e21, 1e-7, math.MaxFloat64, c.Float64()}[c.Intn(7)]
		},
	)
}

func TestEveryTypeHasAPlanThatWritesRandomObjects(t *testing.T) {
	s, kinds := types(t)
	fillers := []*randfill.Filler{filler(1, 0.05), filler(2, 0.4), filler(3, 0.8)}
	objects, decoded := 0, map[string]int{}
	for _, gvk := range kinds {
		goType := s.AllKnownTypes()[gvk]
		p, err := For(goType)
		if err != nil {
			t.Errorf("%s: %v", gvk, err)
			continue
		}
		kind, apiVersion := gvk.Kind, gvk.GroupVersion().String()
		if !check(t, p, nil, kind, apiVersion) {
			decoded[gvk.String()]++
		}
		rounds := 24
		if strings.HasSuffix(kind, "List") {
			rounds = 3
		}
		for i := range rounds {
			o := reflect.New(goType).Interface().(object)
			fillers[i%len(fillers)].Fill(o)
			body, err := o.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				kind, apiVersion = "", ""
			}
			objects++
			if !check(t, p, body, kind, apiVersion) {
				decoded[gvk.String()]++
			}
		}
	}
	t.Logf("%d types, %d objects", len(kinds), objects)
	if len(decoded) > 0 {
		t.Errorf("objects that had to be decoded: %v", decoded)
	}
}

// TestUpstreamsRecordedObjects reads what upstream's releases stored.
func TestUpstreamsRecordedObjects(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "*", "*.pb"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	s, _ := types(t)
	plans, done := map[reflect.Type]*Plan{}, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var envelope runtime.Unknown
		if err := envelope.Unmarshal(b[len("k8s\x00"):]); err != nil {
			t.Fatal(file, err)
		}
		goType := s.AllKnownTypes()[schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind)]
		if goType == nil {
			continue // it is gone
		}
		if plans[goType] == nil {
			if plans[goType], err = For(goType); err != nil {
				t.Fatal(file, err)
			}
		}
		done++
		if _, err := oracle(goType, envelope.Raw, "", ""); err != nil {
			continue // fields that changed their type
		}
		if !check(t, plans[goType], envelope.Raw, envelope.Kind, envelope.APIVersion) {
			t.Errorf("%s had to be decoded", file)
		}
	}
	t.Logf("%d of %d files", done, len(files))
}

func TestQuantitiesTakenForCanonicalAre(t *testing.T) {
	for _, number := range []string{"0", "1", "8", "9", "10", "100", "999", "1000", "1001", "1023", "1024", "1025", "1536", "2000", "2048", "10000", "65786040", "999999999", "1000000000", "000", "01"} {
		for _, suffix := range []string{"", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3"} {
			s := number + suffix
			if !canonical([]byte(s)) {
				continue
			}
			q, err := resource.ParseQuantity(s)
			if err != nil {
				t.Fatal(s, err)
			}
			if b, err := q.MarshalJSON(); err != nil || string(b) != `"`+s+`"` {
				t.Errorf("%s is written %s, %v", s, b, err)
			}
		}
	}
}

func TestForRefuses(t *testing.T) {
	for _, goType := range []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[struct{}](), reflect.TypeFor[metav1.ObjectMeta](), reflect.TypeFor[metav1.TypeMeta](),
	} {
		if _, err := For(goType); err == nil {
			t.Errorf("%s has a plan", goType)
		}
	}
}
