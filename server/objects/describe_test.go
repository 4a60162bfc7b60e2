package objects

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"

	"github.com/howdah/howdah/storage"
)

// TestBuiltins compares, for random objects of every stored kind, what is read
// from the bytes with what upstream says of the decoded object.
func TestBuiltins(t *testing.T) {
	const rounds, revision = 12, 4711
	all := builtins(t)
	if len(all) < 60 {
		t.Fatalf("only %d kinds", len(all))
	}
	for _, b := range all {
		t.Run(b.resource.String(), func(t *testing.T) {
			if b.store.form.native == nil {
				t.Fatal("has no short way to its encoding")
			}
			if b.store.plan.attributes != nil {
				t.Fatal("has fields that can't be read in place")
			}
			random := randomObjects(1)
			for range rounds {
				obj := b.store.newObject()
				random.Fill(obj)
				checkBuiltin(t, b, obj, revision)
			}
			checkBuiltin(t, b, b.store.newObject(), revision)
		})
	}
}

func checkBuiltin(t *testing.T, b builtin, obj runtime.Object, revision int64) {
	t.Helper()
	if err := b.store.Versioner().PrepareObjectForStorage(obj); err != nil {
		t.Fatal(err)
	}
	upstream, err := runtime.Encode(b.codec, obj)
	if err != nil {
		t.Fatal(err)
	}
	want := decodeAt(t, b, upstream, revision)

	// What upstream stores.
	o := describe(t, b.store, upstream, revision)
	checkAttributes(t, b, o, want)
	got, err := b.store.Decode(o)
	if err != nil {
		t.Fatal(err)
	}
	if !apiequality.Semantic.DeepEqual(want, got) {
		t.Fatalf("what upstream stores decodes to something else (-want +got):\n%s", cmp.Diff(want, got))
	}

	// What we store.
	data, versioned, err := b.store.form.encode(obj)
	if err != nil {
		t.Fatal(err)
	}
	o = describe(t, b.store, data, revision)
	checkAttributes(t, b, o, want)
	out := b.store.newObject()
	if err := b.store.form.restore(data, versioned, revision, out); err != nil {
		t.Fatal(err)
	}
	if !apiequality.Semantic.DeepEqual(want, out) {
		t.Fatalf("a write returns something else (-want +got):\n%s", cmp.Diff(want, out))
	}
	exact, err := runtime.Encode(b.codec, decodeAt(t, b, data, revision))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(exact, o.Value()) {
		t.Fatalf("the value is not what encoding the object gives:\n%x\n%x", exact, o.Value())
	}
	if !sameValue(data, o) {
		t.Fatal("the value is not the same as itself")
	}
	if foreign(o) {
		t.Fatal("our own value is in another form")
	}
}

func describe(t testing.TB, s *Store, stored []byte, revision int64) *storage.Object {
	t.Helper()
	o, err := s.describe("/key", stored, revision)
	if err != nil {
		t.Fatal(err)
	}
	o.Revision = revision
	if !bytes.HasPrefix(o.Value(), []byte(protobufMagic())) && &o.Body()[0] != &o.Value()[0] {
		t.Fatal("the body is not part of the value")
	}
	return o
}

func decodeAt(t testing.TB, b builtin, data []byte, revision int64) runtime.Object {
	t.Helper()
	obj := b.store.newObject()
	if err := b.store.form.decodeBytes(data, obj); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Versioner().UpdateObject(obj, uint64(revision)); err != nil {
		t.Fatal(err)
	}
	return obj
}

func checkAttributes(t *testing.T, b builtin, o *storage.Object, obj runtime.Object) {
	t.Helper()
	wantLabels, wantFields, err := b.attributes(obj)
	if err != nil {
		t.Fatal(err)
	}
	gotLabels := labels.Set(maps.Collect(o.Labels.(storage.LabelRange).All()))
	if len(wantLabels)+len(gotLabels) > 0 && !maps.Equal(wantLabels, gotLabels) {
		t.Fatalf("labels %v, want %v", gotLabels, wantLabels)
	}
	for name, value := range wantLabels {
		if got, ok := o.Labels.Lookup(name); !ok || got != value || o.Labels.Get(name) != value || !o.Labels.Has(name) {
			t.Fatalf("label %q is %q (%v), want %q", name, got, ok, value)
		}
	}
	if o.Labels.Has("no such label") {
		t.Fatal("has a label that it has not")
	}
	for name, value := range wantFields {
		if got := o.Fields.Get(name); got != value || !o.Fields.Has(name) {
			t.Fatalf("field %s is %q, want %q", name, got, value)
		}
	}
	if len(wantFields) != len(b.store.plan.fields) || o.Fields.Has("no such field") || o.Fields.Get("no such field") != "" {
		t.Fatal("has a field that it has not")
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	if o.UID != string(accessor.GetUID()) {
		t.Fatalf("uid %q, want %q", o.UID, accessor.GetUID())
	}
}

// TestDescribeLargeObjects: what is packed has what others have.
func TestDescribeLargeObjects(t *testing.T) {
	for _, b := range builtins(t) {
		obj := b.store.newObject()
		m, err := meta.Accessor(obj)
		if err != nil {
			continue
		}
		m.SetName("large")
		m.SetNamespace("default")
		m.SetUID("6f0ffc2b")
		m.SetLabels(map[string]string{"app": "web", "tier": "front"})
		m.SetAnnotations(map[string]string{"long": strings.Repeat("the same again ", 5000)})
		stored, _, err := b.store.form.encode(obj)
		if err != nil {
			t.Fatal(b.resource, err)
		}
		want := decodeAt(t, b, stored, 5)
		o := describe(t, b.store, stored, 5)
		if o.Pack() {
			t.Fatalf("%s was not packed", b.resource)
		}
		checkAttributes(t, b, o, want)
		if !sameValue(stored, o) {
			t.Fatalf("the value of %s is not the same as itself", b.resource)
		}
		got, err := b.store.Decode(o)
		if err != nil {
			t.Fatal(err)
		}
		if !apiequality.Semantic.DeepEqual(want, got) {
			t.Fatal(cmp.Diff(want, got))
		}
		if later, err := b.store.AtRevision(o, 6); err != nil || later.Labels.Get("app") != "web" {
			t.Fatalf("another revision of %s: %v", b.resource, err)
		}
	}
}

func TestDescribeOtherForms(t *testing.T) {
	s, stored := testPod(t)
	pod := realisticPod()
	old, err := runtime.Encode(legacyscheme.Codecs.LegacyCodec(v1.SchemeGroupVersion), pod) // JSON
	if err != nil {
		t.Fatal(err)
	}
	withVersion, _ := mustScan(t, stored).splice(stored, 12345678)
	unordered := swapEnvelope(t, stored)
	want := describe(t, s, stored, 7)
	for _, test := range []struct {
		name    string
		stored  []byte
		foreign bool
	}{
		{"with a resourceVersion", withVersion, false},
		{"with its type last", unordered, false},
		{"as JSON", old, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := describe(t, s, test.stored, 7)
			got, err := s.Decode(o)
			if err != nil {
				t.Fatal(err)
			}
			wanted, err := s.Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if !apiequality.Semantic.DeepEqual(wanted, got) {
				t.Fatal(cmp.Diff(wanted, got))
			}
			if foreign(o) != test.foreign {
				t.Fatalf("foreign: %v", foreign(o))
			}
			if o.Labels.Get("app") != "web" || o.Fields.Get("spec.nodeName") != "node-17" || o.UID != want.UID {
				t.Fatal("its attributes are wrong")
			}
		})
	}
	for _, broken := range [][]byte{[]byte("k8s\x00"), []byte("k8s:enc:aescbc:v1:k:xyz"), stored[:len(stored)/2], []byte("{")} {
		if o, err := s.describe("/key", broken, 7); err == nil {
			t.Fatalf("%q was described as %v", broken, o.Value())
		}
	}
}

func mustScan(t testing.TB, stored []byte) envelope {
	t.Helper()
	e, err := scanEnvelope(stored)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// swapEnvelope moves the type behind the object.
func swapEnvelope(t testing.TB, stored []byte) []byte {
	e := mustScan(t, stored)
	magic := len(protobufMagic())
	out := append([]byte{}, stored[:magic]...)
	out = append(out, stored[e.rawField:e.raw.end]...)
	out = append(out, stored[magic:e.rawField]...)
	return append(out, stored[e.raw.end:]...)
}

func TestSpliceJSON(t *testing.T) {
	for _, test := range []struct{ stored, want string }{
		{`{"kind":"A","metadata":{}}`, `{"kind":"A","metadata":{"resourceVersion":"12"}}`},
		{`{"metadata":{"name":"a"}}` + "\n", `{"metadata":{"name":"a","resourceVersion":"12"}}` + "\n"},
		{`{"metadata":{"name":"a","uid":"b"},"z":1}`, `{"metadata":{"name":"a","resourceVersion":"12","uid":"b"},"z":1}`},
		{`{"metadata":{"uid":"b"}}`, `{"metadata":{"resourceVersion":"12","uid":"b"}}`},
		{`{"metadata":{"resourceVersion":"","uid":"b"}}`, `{"metadata":{"resourceVersion":"12","uid":"b"}}`},
		{` { "spec" : {"metadata":{"a":"}"}} , "metadata" : { "name" : "a" } } `, ` { "spec" : {"metadata":{"a":"}"}} , "metadata" : { "name" : "a" ,"resourceVersion":"12"} } `},
		{`{"metadata":{"annotations":{"resourceVersion":"9"},"labels":null,"generation":1}}`, `{"metadata":{"annotations":{"resourceVersion":"9"},"labels":null,"generation":1,"resourceVersion":"12"}}`},
		{`{"meta\u0064ata":{}}`, `{"meta\u0064ata":{"resourceVersion":"12"}}`},
		{`{"metadata":{},"metadata":{}}`, ""},
		{`{"metadata":null}`, ""},
		{`{"spec":{}}`, ""},
		{`[]`, ""},
		{`{"metadata":{}`, ""},
		{``, ""},
	} {
		got, err := spliceJSON([]byte(test.stored), 12)
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %s (%v), want %s", test.stored, got, err, test.want)
		}
	}
}

func TestDescribeCustomResource(t *testing.T) {
	s := &Store{}
	o, err := s.describe("/key", []byte(`{"metadata":{"labels":{"a":"b","c":3,"d":"e"},"name":"n","uid":"u"},"spec":{"color":"red","size":3}}`), 12)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"metadata.name": "n", "spec.color": "red", "spec.size": "3", "spec.none": "", "spec": "", "spec.color.none": "",
	} {
		if got := o.Fields.Get(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if got := maps.Collect(o.Labels.(storage.LabelRange).All()); !maps.Equal(got, map[string]string{"a": "b", "d": "e"}) {
		t.Errorf("labels are %v", got)
	}
	if o.UID != "u" || o.Labels.Get("a") != "b" || !strings.Contains(string(o.Value()), `"name":"n","resourceVersion":"12","uid":"u"`) {
		t.Errorf("%s %s %s", o.UID, o.Labels, o.Value())
	}
	twice, err := s.describe("/key", []byte(`{"metadata":{"uid":"v"},"metadata":{"uid":"u"}, "kind":"K","apiVersion":"v1"}`), 12)
	if err != nil || twice.UID != "u" || string(twice.Value()) != `{"apiVersion":"v1","kind":"K","metadata":{"resourceVersion":"12","uid":"u"}}` || !foreign(twice) {
		t.Errorf("an odd document became %s, %v", twice.Value(), err)
	}
	if o, err := s.describe("/key", []byte(`{"metadata"`), 12); err == nil {
		t.Errorf("half a document became %s", o.Value())
	}
}

// FuzzEnvelope: whatever the scanner accepts, upstream's decoder must see the
// same object with the resourceVersion set, or reject both.
func FuzzEnvelope(f *testing.F) {
	s, stored := testPod(f)
	f.Add(stored)
	f.Add(swapEnvelope(f, stored))
	for _, b := range builtins(f) {
		obj := b.store.newObject()
		randomObjects(2).Fill(obj)
		data, err := runtime.Encode(b.codec, obj)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		const revision = 987654321
		e, err := scanEnvelope(stored)
		if err != nil || !s.form.owns(e.typeMeta.of(stored)) {
			return
		}
		value, spliced := e.splice(stored, revision)
		again, err := scanEnvelope(value)
		if err != nil {
			t.Fatalf("can't scan what was spliced: %v", err)
		}
		if again != spliced {
			t.Fatalf("splice says %+v, scanning says %+v", spliced, again)
		}
		want, got := &core.Pod{}, &core.Pod{}
		errWant, errGot := s.form.decodeBytes(stored, want), s.form.decodeBytes(value, got)
		if (errWant == nil) != (errGot == nil) {
			t.Fatalf("decoding the stored value: %v; the spliced value: %v", errWant, errGot)
		}
		if errWant != nil {
			return
		}
		if err := (apistorage.APIObjectVersioner{}).UpdateObject(want, revision); err != nil {
			t.Fatal(err)
		}
		if !apiequality.Semantic.DeepEqual(want, got) {
			t.Fatal(cmp.Diff(want, got))
		}
		d := s.describeProtobuf(stored, revision)
		if !maps.Equal(map[string]string(want.Labels), maps.Collect((*labelView)(d).All())) && len(want.Labels) > 0 {
			t.Fatalf("labels %v, want %v", maps.Collect((*labelView)(d).All()), want.Labels)
		}
		for _, f := range s.plan.fields {
			_ = f.read(d.Body())
		}
	})
}

// FuzzSpliceJSON: the standard decoder must see the same document with the
// resourceVersion set.
func FuzzSpliceJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c\"]"}],"metadata":{"name":"x","uid":"y"},"z":null}`))
	f.Add([]byte(`{ "metadata" : { "resourceVersion" : "1" , "labels" : {"a":"b"} } }`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		value, err := spliceJSON(stored, 42)
		if err != nil {
			return
		}
		var want, got map[string]any
		if err := json.Unmarshal(stored, &want); err != nil {
			return // too deep for it
		}
		if err := json.Unmarshal(value, &got); err != nil {
			t.Fatalf("%s became %s: %v", stored, value, err)
		}
		metadata, ok := want["metadata"].(map[string]any)
		if !ok {
			t.Fatalf("%s has no metadata", stored)
		}
		metadata["resourceVersion"] = "42"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s became %s: %s", stored, value, diff)
		}
		o, err := describeJSON(stored, 42)
		if err != nil {
			t.Fatalf("%s can be spliced but not described: %v", stored, err)
		}
		labels := map[string]string{}
		if all, ok := metadata["labels"].(map[string]any); ok {
			for name, value := range all {
				if text, is := value.(string); is {
					labels[name] = text
				}
			}
		}
		if got := maps.Collect(o.Labels.(storage.LabelRange).All()); !maps.Equal(got, labels) {
			t.Fatalf("%s has the labels %v, want %v", stored, got, labels)
		}
	})
}

func BenchmarkDescribe(b *testing.B) {
	s, stored := testPod(b)
	b.SetBytes(int64(len(stored)))
	b.ReportAllocs()
	for b.Loop() {
		if s.describeProtobuf(stored, 123456) == nil {
			b.Fatal("not described")
		}
	}
}

func BenchmarkFields(b *testing.B) {
	s, stored := testPod(b)
	o := describe(b, s, stored, 123456)
	for _, name := range []string{"metadata.name", "spec.nodeName", "status.phase"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				o.Fields.Get(name)
			}
		})
	}
	b.Run("label", func(b *testing.B) {
		for b.Loop() {
			o.Labels.Lookup("app")
		}
	})
}

func BenchmarkCoding(b *testing.B) {
	s, stored := testPod(b)
	o := describe(b, s, stored, 123456)
	pod := realisticPod()
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Decode(o); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode-codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.form.decodeBytes(stored, &core.Pod{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := s.form.encode(pod); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode-codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := runtime.Encode(s.form.codec, pod); err != nil {
				b.Fatal(err)
			}
		}
	})
}
