package custom

import (
	"bytes"

	"github.com/howdah/howdah/storage"
)

// document returns a function that answers a read in a version with the stored
// document itself, if it fits the schemas: a [resource.Resource.Document].
func (d *definition) document(version string) func(*storage.Object) ([]byte, bool) {
	if d.Spec.PreserveUnknownFields {
		return nil // from before there were structural schemas
	}
	heads := map[string][]byte{} // by version
	for _, v := range d.Spec.Versions {
		heads[v.Name] = []byte(`{"apiVersion":"` + d.Spec.Group + "/" + v.Name + `","kind":"` + d.Status.AcceptedNames.Kind + `",`)
	}
	own := heads[version]
	hooked := d.hooked()
	return func(o *storage.Object) ([]byte, bool) {
		if o.Err != nil {
			return nil, false
		}
		value := bytes.TrimSuffix(o.Value(), []byte("\n")) // documents go into lines
		if bytes.HasPrefix(value, own) {
			return value, d.fits(version, value)
		}
		if hooked {
			return nil, false
		}
		for stored, head := range heads {
			if bytes.HasPrefix(value, head) {
				if !d.fits(stored, value) || !d.fits(version, value) {
					return nil, false
				}
				document := make([]byte, 0, len(value)-len(head)+len(own))
				return append(append(document, own...), value[len(head):]...), true
			}
		}
		return nil, false
	}
}

func (d *definition) fits(version string, document []byte) bool {
	shapes, err := d.schemas.shapes()
	return err == nil && shapes[version].fits(document)
}
