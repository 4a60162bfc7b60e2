package discovery

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"

	"github.com/howdah/howdah/server/resource"
)

// documents are all answers made from one version of the table.
type documents struct {
	change [2]uint64 // of the table, and of what others serve

	core   aggregate // /api
	groups aggregate // /apis

	list      *metav1.APIGroupList // /apis
	byName    map[string]*metav1.APIGroup
	byVersion map[schema.GroupVersion]http.Handler
}

// An aggregate is discovery of several groups at once.
type aggregate struct {
	list *apidiscoveryv2.APIGroupDiscoveryList
	etag string
}

// documents returns what is made from the table as it is now.
func (h *Handler) documents() (*documents, error) {
	// Read first: a change that comes in between makes them once more.
	change := [2]uint64{h.table.Change(), h.others.Change()}
	if made := h.made.Load(); made != nil && made.change == change {
		return made, nil
	}
	made := &documents{
		change:    change,
		list:      &metav1.APIGroupList{Groups: []metav1.APIGroup{}},
		byName:    map[string]*metav1.APIGroup{},
		byVersion: map[schema.GroupVersion]http.Handler{},
	}
	core, groups := &apidiscoveryv2.APIGroupDiscoveryList{}, &apidiscoveryv2.APIGroupDiscoveryList{}
	for _, group := range h.groups() {
		for _, version := range group.versions {
			if version.other != nil {
				continue // it is asked itself
			}
			list := resourcesOf(version.Version)
			made.byVersion[version.GroupVersion] = discovery.NewAPIVersionHandler(h.codecs, version.GroupVersion,
				discovery.APIResourceListerFunc(func() []metav1.APIResource { return list }))
		}
		if group.name == "" {
			core.Items = append(core.Items, aggregateOf(group))
			continue
		}
		groups.Items = append(groups.Items, aggregateOf(group))
		single := groupOf(group)
		made.byName[group.name] = single
		made.list.Groups = append(made.list.Groups, *single)
	}
	var err error
	if made.core, err = tagged(core); err != nil {
		return nil, err
	}
	if made.groups, err = tagged(groups); err != nil {
		return nil, err
	}
	h.made.Store(made)
	return made, nil
}

func tagged(list *apidiscoveryv2.APIGroupDiscoveryList) (aggregate, error) {
	text, err := json.Marshal(list)
	if err != nil {
		return aggregate{}, fmt.Errorf("make the ETag of aggregated discovery: %w", err)
	}
	return aggregate{list, fmt.Sprintf("%X", sha512.Sum512(text))}, nil
}

func groupOf(group group) *metav1.APIGroup {
	made := &metav1.APIGroup{Name: group.name}
	for _, version := range group.versions {
		made.Versions = append(made.Versions, metav1.GroupVersionForDiscovery{
			GroupVersion: version.GroupVersion.String(),
			Version:      version.GroupVersion.Version,
		})
	}
	made.PreferredVersion = made.Versions[0]
	return made
}

func resourcesOf(version resource.Version) []metav1.APIResource {
	list := []metav1.APIResource{}
	for _, row := range version.Resources {
		kind := kindOf(row)
		list = append(list, metav1.APIResource{
			Name:               row.Path(),
			SingularName:       row.Singular,
			Namespaced:         row.Namespaced,
			Group:              kind.Group,
			Version:            kind.Version,
			Kind:               kind.Kind,
			Verbs:              row.ShownVerbs(),
			ShortNames:         row.ShortNames,
			Categories:         row.Categories,
			StorageVersionHash: row.StorageVersionHash,
		})
	}
	return list
}

func aggregateOf(group group) apidiscoveryv2.APIGroupDiscovery {
	made := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group.name}}
	for _, version := range group.versions {
		if version.other != nil {
			made.Versions = append(made.Versions, version.other.aggregate())
			continue
		}
		made.Versions = append(made.Versions, apidiscoveryv2.APIVersionDiscovery{
			Version:   version.GroupVersion.Version,
			Resources: aggregateResources(version.Version),
			Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
	}
	return made
}

func aggregateResources(version resource.Version) []apidiscoveryv2.APIResourceDiscovery {
	var list []apidiscoveryv2.APIResourceDiscovery
	index := map[string]int{} // in list, by resource
	for _, row := range version.Resources {
		if row.Subresource == "" {
			index[row.Resource] = len(list)
			kind := aggregateKind(row)
			list = append(list, apidiscoveryv2.APIResourceDiscovery{
				Resource:         row.Resource,
				ResponseKind:     &kind,
				Scope:            scopeOf(row),
				SingularResource: row.Singular,
				Verbs:            row.ShownVerbs(),
				ShortNames:       row.ShortNames,
				Categories:       row.Categories,
			})
		}
	}
	for _, row := range version.Resources {
		if row.Subresource == "" {
			continue
		}
		i, found := index[row.Resource]
		if !found { // a subresource whose resource is not served
			i = len(list)
			index[row.Resource] = i
			list = append(list, apidiscoveryv2.APIResourceDiscovery{
				Resource:     row.Resource,
				Scope:        scopeOf(row),
				ResponseKind: &metav1.GroupVersionKind{}, // client-go v0.26 panics on nil
			})
		}
		kind := aggregateKind(row)
		list[i].Subresources = append(list[i].Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource:  row.Subresource,
			ResponseKind: &kind,
			Verbs:        row.ShownVerbs(),
		})
	}
	return list
}

// aggregateKind is kindOf, but for custom resources always in full.
func aggregateKind(row *resource.Resource) metav1.GroupVersionKind {
	if row.Custom {
		return metav1.GroupVersionKind(row.Kind)
	}
	return kindOf(row)
}

// kindOf returns a row's kind; its group and version are left out when they are
// those of the row.
func kindOf(row *resource.Resource) metav1.GroupVersionKind {
	if row.Kind.GroupVersion() == row.GroupVersion() {
		return metav1.GroupVersionKind{Kind: row.Kind.Kind}
	}
	return metav1.GroupVersionKind(row.Kind)
}

func scopeOf(row *resource.Resource) apidiscoveryv2.ResourceScope {
	if row.Namespaced {
		return apidiscoveryv2.ScopeNamespace
	}
	return apidiscoveryv2.ScopeCluster
}
