package resource

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var _ runtime.EquivalentResourceMapper = (*Table)(nil)

// EquivalentResourcesFor returns all resources, of whatever group and version,
// that hold the same objects, the given one included. A webhook or policy with
// matchPolicy Equivalent that is about one of them is about all.
func (t *Table) EquivalentResourcesFor(gvr schema.GroupVersionResource, subresource string) []schema.GroupVersionResource {
	c := t.current.Load()
	return c.equivalents[key{schema.GroupVersionResource{Resource: c.identity(gvr)}, subresource}]
}

// KindFor returns the kind of a resource's or subresource's bodies.
func (t *Table) KindFor(gvr schema.GroupVersionResource, subresource string) schema.GroupVersionKind {
	if row := t.Lookup(gvr, subresource); row != nil {
		return row.Kind
	}
	return schema.GroupVersionKind{}
}

// identity names the objects of a resource: by where they are kept, if they are.
func (c *contents) identity(gvr schema.GroupVersionResource) string {
	if row := c.rows[key{gvr, ""}]; row != nil && row.Objects != nil {
		return row.Objects.Prefix()
	}
	return gvr.GroupResource().String()
}

// findEquivalents fills in which rows hold the same objects, in the order of all.
func (c *contents) findEquivalents() {
	c.equivalents = map[key][]schema.GroupVersionResource{}
	for _, row := range c.all {
		same := key{schema.GroupVersionResource{Resource: c.identity(row.GroupVersionResource)}, row.Subresource}
		c.equivalents[same] = append(c.equivalents[same], row.GroupVersionResource)
	}
}
