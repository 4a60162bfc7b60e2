package device

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"

	"github.com/howdah/howdah/scheduler/placement"
	"github.com/howdah/howdah/scheduler/state"
)

// A count knows, for one decision, which devices there are and which are taken.
type count struct {
	*Devices
	taken    *structured.AllocatedState
	byNode   map[string][]*resourceapi.ResourceSlice // those of one node
	anywhere []*resourceapi.ResourceSlice            // those whose nodes have to be looked for
}

// A suit is a question: which devices of a slice are of a class? Neither changes; newer
// ones are other objects.
type suit struct {
	slice *resourceapi.ResourceSlice
	class *resourceapi.DeviceClass
}

// Count implements [placement.Devices].
func (d *Devices) Count() (placement.DeviceCount, error) {
	slices, err := d.Slices.ListPatchedResourceSlices()
	if err != nil {
		return nil, err
	}
	c := &count{Devices: d, byNode: map[string][]*resourceapi.ResourceSlice{}}
	d.mu.Lock()
	c.taken = d.ledger.state()
	if len(d.suited) > 2*len(slices)+keptSelectors {
		clear(d.suited) // most are of slices that are gone
	}
	d.mu.Unlock()
	for _, slice := range slices {
		spec := &slice.Spec
		if name := ptr.Deref(spec.NodeName, ""); name != "" && spec.NodeSelector == nil && !ptr.Deref(spec.AllNodes, false) && !ptr.Deref(spec.PerDeviceNodeSelection, false) {
			c.byNode[name] = append(c.byNode[name], slice)
		} else {
			c.anywhere = append(c.anywhere, slice)
		}
	}
	return c, nil
}

// On implements [placement.DeviceCount]. Where a selector can't be evaluated there
// are none, as kube-scheduler has it.
func (c *count) On(node *state.Node, resource corev1.ResourceName) (there, taken int64) {
	class := c.extended.GetDeviceClass(resource)
	if class == nil {
		return 0, 0
	}
	for _, slices := range [][]*resourceapi.ResourceSlice{c.byNode[node.Name()], c.anywhere} {
		for _, slice := range slices {
			some, ofThem, err := c.in(slice, class, node)
			if err != nil {
				return 0, 0
			}
			there, taken = there+some, taken+ofThem
		}
	}
	return there, taken
}

// in counts the devices of a slice.
func (c *count) in(slice *resourceapi.ResourceSlice, class *resourceapi.DeviceClass, node *state.Node) (there, taken int64, err error) {
	spec := &slice.Spec
	each := ptr.Deref(spec.PerDeviceNodeSelection, false)
	if !each {
		if here, err := isFor(node, spec.NodeName, spec.AllNodes, spec.NodeSelector); !here {
			return 0, 0, err
		}
	}
	suits, err := c.suits(slice, class)
	if err != nil {
		return 0, 0, err
	}
	for i := range spec.Devices {
		device := &spec.Devices[i]
		if !suits[i] {
			continue
		}
		if each {
			here, err := isFor(node, device.NodeName, device.AllNodes, device.NodeSelector)
			if err != nil {
				return 0, 0, err
			}
			if !here {
				continue
			}
		}
		there++
		if structured.IsDeviceAllocated(structured.MakeDeviceID(spec.Driver, spec.Pool.Name, device.Name), c.taken) {
			taken++
		}
	}
	return there, taken, nil
}

// isFor tells whether what has one of these is for a node.
func isFor(node *state.Node, name *string, all *bool, selector *corev1.NodeSelector) (bool, error) {
	switch {
	case ptr.Deref(all, false):
		return true, nil
	case selector != nil:
		return structured.NodeMatches(features, node.Obj, ptr.Deref(name, ""), false, selector)
	}
	return ptr.Deref(name, "") == node.Name(), nil
}

// suits tells which devices of a slice are of a class.
func (c *count) suits(slice *resourceapi.ResourceSlice, class *resourceapi.DeviceClass) ([]bool, error) {
	question := suit{slice, class}
	c.mu.Lock()
	known, ok := c.suited[question]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	suits := make([]bool, len(slice.Spec.Devices))
	for i := range suits {
		var err error
		if suits[i], err = c.isOf(&slice.Spec.Devices[i], class, slice.Spec.Driver); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suited[question] = suits
	return suits, nil
}

func (c *count) isOf(device *resourceapi.Device, class *resourceapi.DeviceClass, driver string) (bool, error) {
	for _, selector := range class.Spec.Selectors {
		if selector.CEL == nil {
			continue
		}
		compiled := c.compiled.GetOrCompile(selector.CEL.Expression)
		if compiled.Error != nil {
			return false, compiled.Error
		}
		matches, _, err := compiled.DeviceMatches(context.Background(), cel.Device{Driver: driver, Attributes: device.Attributes, Capacity: device.Capacity})
		if err != nil || !matches {
			return false, err
		}
	}
	return true, nil
}
