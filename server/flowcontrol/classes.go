package flowcontrol

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/util/flowcontrol"
)

// maxClasses bounds how many kinds of requests are remembered.
const maxClasses = 10_000

// classes remembers how upstream has classified requests, until its configuration
// changes. Schemas match by nothing but what a kind has.
type classes struct {
	sets       sync.Map // name of a priority level -> *spare
	generation atomic.Uint64

	known sync.Map // kind -> *class
	count atomic.Int64
}

// kind is what a request's class depends on, but for the groups of its user.
type kind struct {
	user, verb, group, resource, subresource, namespace string
}

// class is upstream's word on requests of a kind.
type class struct {
	generation uint64
	groups     []string // of the user
	schema     *flowcontrolv1.FlowSchema
	level      *flowcontrolv1.PriorityLevelConfiguration
	set        *spare
	exempt     bool

	distinguisher       string
	flow                uint64 // which queues it may use
	levelUID, schemaUID []string
}

// changed forgets what is known. It is called while upstream changes its
// configuration, which no request is classified by meanwhile.
func (c *classes) changed(name string, set *spare) {
	c.sets.Store(name, set)
	c.generation.Add(1)
}

func kindOf(d flowcontrol.RequestDigest) kind {
	i := d.RequestInfo
	return kind{d.User.GetName(), i.Verb, i.APIGroup, i.Resource, i.Subresource, i.Namespace}
}

// find returns the class of a request, nil if it is not known. Other than
// resource requests are rare.
func (c *classes) find(d flowcontrol.RequestDigest) *class {
	if !d.RequestInfo.IsResourceRequest {
		return nil
	}
	known, ok := c.known.Load(kindOf(d))
	if !ok {
		return nil
	}
	found := known.(*class)
	if found.generation != c.generation.Load() || !slices.Equal(found.groups, d.User.GetGroups()) {
		return nil
	}
	return found
}

// learn remembers a class. Upstream calls it while its configuration stays.
func (c *classes) learn(d flowcontrol.RequestDigest, schema *flowcontrolv1.FlowSchema, level *flowcontrolv1.PriorityLevelConfiguration, distinguisher string) *class {
	learned := &class{
		generation: c.generation.Load(), groups: d.User.GetGroups(), schema: schema, level: level,
		exempt: level.Spec.Type == flowcontrolv1.PriorityLevelEnablementExempt, distinguisher: distinguisher, flow: flowOf(schema.Name, distinguisher),
		levelUID: []string{string(level.UID)}, schemaUID: []string{string(schema.UID)},
	}
	set, ok := c.sets.Load(level.Name)
	if !ok || !d.RequestInfo.IsResourceRequest {
		return learned
	}
	learned.set = set.(*spare)
	if c.count.Load() >= maxClasses {
		c.known.Clear()
		c.count.Store(0)
	}
	if _, known := c.known.Swap(kindOf(d), learned); !known {
		c.count.Add(1)
	}
	return learned
}

// flowOf is upstream's hash of a flow.
func flowOf(schema, distinguisher string) uint64 {
	sum := sha256.Sum256([]byte(schema + "\x00" + distinguisher))
	return binary.LittleEndian.Uint64(sum[:8])
}
