package custom

import (
	"fmt"
	"slices"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/conversion"
	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/rest"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	scalescheme "k8s.io/client-go/scale"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/howdah/howdah/server/objects"
	"github.com/howdah/howdah/server/resource"
	"github.com/howdah/howdah/storage"
)

// What kube-apiserver gives the groups of all definitions in discovery.
const groupPriority, versionPriority = 1000, 100

// A rowMaker makes the rows of definitions, which share what is the same for
// all of them.
type rowMaker struct {
	store      *storage.Store
	converters *conversion.CRConverterFactory
	mediaTypes []runtime.SerializerInfo
	scales     runtime.NegotiatedSerializer
}

func newRowMaker(store *storage.Store, converters *conversion.CRConverterFactory) rowMaker {
	options := []runtimeserializer.CodecFactoryOptionsMutator{
		runtimeserializer.WithStreamingCollectionEncodingToJSON(),
		runtimeserializer.WithStreamingCollectionEncodingToProtobuf(),
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.CBORServingAndStorage) {
		options = append(options, runtimeserializer.WithSerializer(cbor.NewSerializerInfo))
	}
	return rowMaker{
		store: store, converters: converters, mediaTypes: mediaTypes(),
		scales: runtimeserializer.NewCodecFactory(scalescheme.NewScaleConverter().Scheme(), options...),
	}
}

// A maker makes the rows of one definition.
type maker struct {
	rowMaker
	*definition
	safe, unsafe runtime.ObjectConvertor
	types        managedfields.TypeConverter
}

// fill makes the rows of the served versions and their subresources, and the
// storage of all instances.
func (m rowMaker) fill(d *definition) error {
	safe, unsafe, err := m.converters.NewConverter(d.CustomResourceDefinition)
	if err != nil {
		return err
	}
	one := maker{rowMaker: m, definition: d, safe: safe, unsafe: unsafe, types: newTypes(d.schemas)}
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		if !v.Served && !v.Storage {
			continue
		}
		kept, err := one.storages(v)
		if err != nil {
			return err
		}
		if v.Storage {
			d.instances = &object{kept}
		}
		if v.Served {
			rows, err := one.version(v, kept)
			if err != nil {
				return fmt.Errorf("version %s: %w", v.Name, err)
			}
			d.rows = append(d.rows, rows...)
		}
	}
	return nil
}

func (m maker) storages(v *apiextensionsv1.CustomResourceDefinitionVersion) (*storages, error) {
	names := m.Status.AcceptedNames
	gv := schema.GroupVersion{Group: m.Spec.Group, Version: v.Name}
	kept := &storages{
		resource: gv.WithResource(names.Plural).GroupResource(), singular: names.Singular,
		kind: gv.WithKind(names.Kind), listKind: names.ListKind,
		scoped: m.namespaced(), closed: m.terminating(), hooked: m.hooked(),
	}
	stored := schema.GroupVersion{Group: m.Spec.Group, Version: m.storageVersion()}
	kept.codec = m.codec(stored, gv)
	var err error
	kept.objects, err = objects.New(objects.Config{
		Store: m.store, Resource: kept.resource, Prefix: "/" + m.Spec.Group + "/" + names.Plural,
		Codec: kept.codec, Version: stored, Reread: m.reread(stored, gv), New: object{kept}.New,
	})
	kept.make = onceStorage(upstreamStorage{m.definition, v, kept}.make)
	return kept, err
}

func (m maker) version(v *apiextensionsv1.CustomResourceDefinitionVersion, kept *storages) ([]*resource.Resource, error) {
	names, gv := m.Status.AcceptedNames, kept.kind.GroupVersion()
	row := resource.Resource{
		GroupVersionResource: gv.WithResource(names.Plural),
		Kind:                 kept.kind,
		Namespaced:           m.namespaced(),
		Custom:               true,
		Hooked:               kept.hooked,
		Priority:             resource.Priority{Group: groupPriority, Version: versionPriority},
		Warnings:             warnings(&m.Spec, v),

		Creater:         creater{},
		Convertor:       m.safe,
		UnsafeConvertor: m.unsafe,
		Defaulter:       defaulter{m.definition, apiserver.Scheme},
		Typer:           crdserverscheme.NewUnstructuredObjectTyper(),
		ParameterCodec:  metav1.ParameterCodec,
		Hub:             gv,
	}
	withStatus := v.Subresources != nil && v.Subresources.Status != nil
	withScale := v.Subresources != nil && v.Subresources.Scale != nil

	main := row
	main.Singular, main.ShortNames, main.Categories = names.Singular, names.ShortNames, names.Categories
	main.Verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	main.Shown = shownVerbs(m.terminating())
	main.StorageVersionHash = discovery.StorageVersionHash(gv.Group, m.storageVersion(), m.Spec.Names.Kind)
	main.Storage, main.Objects = object{kept}, kept.objects
	main.Serializer = serializer{m.definition, m.safe, m.mediaTypes}
	main.Document = m.document(v.Name)
	if len(v.SelectableFields) > 0 {
		main.Fields = selectable{main.Document, kept.objects}.fields
	}
	main.Table = columns(v.AdditionalPrinterColumns)
	var reset map[fieldpath.APIVersion]*fieldpath.Set
	if withStatus {
		reset = map[fieldpath.APIVersion]*fieldpath.Set{
			fieldpath.APIVersion(gv.String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status")),
		}
	}
	rows := []*resource.Resource{&main}
	if err := m.trackFields(&main, reset); err != nil {
		return nil, err
	}
	if withStatus {
		sub := main
		sub.Subresource = "status"
		sub.Singular, sub.ShortNames, sub.Categories, sub.StorageVersionHash = "", nil, nil, ""
		sub.Verbs, sub.Shown = []string{"get", "patch", "update"}, nil
		sub.Storage = status{kept}
		if err := m.trackFields(&sub, m.statusReset()); err != nil {
			return nil, err
		}
		rows = append(rows, &sub)
	}
	if withScale {
		sub := row
		sub.Subresource = "scale"
		sub.Kind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")
		sub.Verbs = []string{"get", "patch", "update"}
		sub.Storage = scale{kept}
		sub.Serializer = m.scales
		sub.Table = columns(scaleColumns(v.Subresources.Scale))
		if err := m.trackFields(&sub, nil); err != nil {
			return nil, err
		}
		rows = append(rows, &sub)
	}
	return rows, nil
}

// codec is between stored bytes and objects in a version.
func (m maker) codec(stored, served schema.GroupVersion) runtime.Codec {
	return versioning.NewCodec(
		documentEncoder{unstructured.UnstructuredJSONScheme},
		coercingDecoder{unstructured.UnstructuredJSONScheme, coercer{definition: m.definition, stored: true}},
		coercingConvertor{m.safe, coercer{definition: m.definition}},
		creater{}, crdserverscheme.NewUnstructuredObjectTyper(), defaulter{m.definition, apiserver.Scheme},
		stored, served, "custom storage")
}

// reread does what the codec does when it decodes, if it need not convert: nothing
// to what fits its schema already.
func (m maker) reread(stored, served schema.GroupVersion) func([]byte, *unstructured.Unstructured) error {
	if stored != served {
		return nil
	}
	return func(data []byte, u *unstructured.Unstructured) error {
		if !m.Spec.PreserveUnknownFields && m.fits(served.Version, data) {
			return nil
		}
		if _, err := (coercer{definition: m.definition, stored: true}).coerce(u); err != nil {
			return err
		}
		defaulter{m.definition, apiserver.Scheme}.Default(u)
		return nil
	}
}

func (m maker) trackFields(row *resource.Resource, reset map[fieldpath.APIVersion]*fieldpath.Set) (err error) {
	row.FieldManager, err = managedfields.NewDefaultCRDFieldManager(m.types, row.Convertor, row.Defaulter, row.Creater,
		row.Kind, row.Hub, row.Subresource, fieldpath.NewExcludeFilterSetMap(reset))
	return err
}

// statusReset are the fields that status leaves alone, in the versions that
// have the subresource.
func (m maker) statusReset() map[fieldpath.APIVersion]*fieldpath.Set {
	reset := map[fieldpath.APIVersion]*fieldpath.Set{}
	for _, v := range m.Spec.Versions {
		if v.Subresources != nil && v.Subresources.Status != nil && (v.Served || v.Storage) {
			gv := schema.GroupVersion{Group: m.Spec.Group, Version: v.Name}
			reset[fieldpath.APIVersion(gv.String())] = fieldpath.NewSet(
				fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
		}
	}
	return reset
}

// shownVerbs are in upstream's order.
func shownVerbs(terminating bool) []string {
	if terminating {
		return []string{"delete", "deletecollection", "get", "list", "watch"}
	}
	return []string{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}
}

// columns makes the table; columns that can't be understood are left out, and
// those after them.
func columns(definitions []apiextensionsv1.CustomResourceColumnDefinition) rest.TableConvertor {
	if len(definitions) == 0 {
		definitions = []apiextensionsv1.CustomResourceColumnDefinition{ageColumn()}
	}
	table, _ := tableconvertor.New(definitions)
	return table
}

func ageColumn() apiextensionsv1.CustomResourceColumnDefinition {
	return apiextensionsv1.CustomResourceColumnDefinition{
		Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp",
		Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
	}
}

func scaleColumns(s *apiextensionsv1.CustomResourceSubresourceScale) []apiextensionsv1.CustomResourceColumnDefinition {
	var all []apiextensionsv1.CustomResourceColumnDefinition
	if s.SpecReplicasPath != "" {
		all = append(all, apiextensionsv1.CustomResourceColumnDefinition{
			Name: "Desired", Type: "integer", Description: "Number of desired replicas", JSONPath: ".spec.replicas",
		})
	}
	if s.StatusReplicasPath != "" {
		all = append(all, apiextensionsv1.CustomResourceColumnDefinition{
			Name: "Available", Type: "integer", Description: "Number of actual replicas", JSONPath: ".status.replicas",
		})
	}
	return append(all, ageColumn())
}

// warnings are what callers of a deprecated version are told.
func warnings(spec *apiextensionsv1.CustomResourceDefinitionSpec, v *apiextensionsv1.CustomResourceDefinitionVersion) []string {
	switch {
	case !v.Deprecated:
		return nil
	case v.DeprecationWarning != nil:
		return []string{*v.DeprecationWarning}
	}
	text := fmt.Sprintf("%s/%s %s is deprecated", spec.Group, v.Name, spec.Names.Kind)
	var newer []string
	for _, other := range spec.Versions {
		if other.Served && !other.Deprecated && version.CompareKubeAwareVersionStrings(v.Name, other.Name) < 0 {
			newer = append(newer, other.Name)
		}
	}
	if len(newer) > 0 {
		text += fmt.Sprintf("; use %s/%s %s", spec.Group, slices.MaxFunc(newer, version.CompareKubeAwareVersionStrings), spec.Names.Kind)
	}
	return []string{text}
}

// splitPath turns ".spec.replicas" into its elements.
func splitPath(path string) fieldpath.Path {
	var elements fieldpath.Path
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "."), ".") {
		elements = append(elements, fieldpath.PathElement{FieldName: &name})
	}
	return elements
}
