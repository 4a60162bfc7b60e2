package impersonation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// many is from how many groups or extra values on the authorizer is first asked
// about all there could be.
const many = 4

// check tries one mode for one request.
type check struct {
	*Checker
	mode    mode
	request authorizer.Attributes
}

// run returns the user that the caller becomes.
func (c *check) run(ctx context.Context, wanted *user.DefaultInfo) (user.Info, error) {
	if c.mode.constrained() {
		if err := c.ask(ctx, verbOn{c.request, c.mode.name, c.mode.caller(c.request.GetUser())}); err != nil {
			return nil, err
		}
	}
	becomes := *wanted
	becomes.Groups = slices.Clone(wanted.Groups)
	if err := c.name(ctx, wanted, &becomes); err != nil {
		return nil, err
	}
	if wanted.UID != "" {
		if err := c.ask(ctx, c.attributes(authenticationv1.GroupName, "uids", wanted.UID)); err != nil {
			return nil, err
		}
	}
	if err := c.groups(ctx, wanted.Groups); err != nil {
		return nil, err
	}
	if err := c.extra(ctx, wanted.Extra); err != nil {
		return nil, err
	}
	switch {
	case becomes.Name == user.Anonymous:
		addGroup(&becomes, user.AllUnauthenticated)
	case !slices.Contains(becomes.Groups, user.AllUnauthenticated):
		addGroup(&becomes, user.AllAuthenticated)
	}
	return &becomes, nil
}

func addGroup(u *user.DefaultInfo, group string) {
	if !slices.Contains(u.Groups, group) {
		u.Groups = append(u.Groups, group)
	}
}

// attributes ask for the mode's verb on a thing that a user has.
func (c *check) attributes(group, resource, name string) authorizer.AttributesRecord {
	if c.mode.name == associatedNode {
		name = "*" // the right is one for all nodes
	}
	return authorizer.AttributesRecord{
		User: c.mode.caller(c.request.GetUser()), Verb: c.mode.verb(),
		APIGroup: group, APIVersion: "v1", Resource: resource, Name: name, ResourceRequest: true,
	}
}

// nameGroup is the API group of users and groups.
func (c *check) nameGroup() string {
	if c.mode.constrained() {
		return authenticationv1.GroupName
	}
	return corev1.GroupName
}

// name asks for the user name. Nodes and service accounts are in groups that
// follow from it.
func (c *check) name(ctx context.Context, wanted, becomes *user.DefaultInfo) error {
	attributes := c.attributes(c.nameGroup(), "users", wanted.Name)
	if node, ok := nodeName(wanted.Name); ok && c.mode.constrained() {
		attributes = c.attributes(c.nameGroup(), "nodes", node)
		becomes.Groups = []string{user.NodesGroup}
	}
	if namespace, name, err := serviceaccount.SplitUsername(wanted.Name); err == nil {
		attributes = c.attributes(c.nameGroup(), "serviceaccounts", name)
		attributes.Namespace = namespace
		if len(wanted.Groups) == 0 {
			becomes.Groups = serviceaccount.MakeGroupNames(namespace)
		}
	}
	return c.ask(ctx, attributes)
}

func (c *check) groups(ctx context.Context, groups []string) error {
	if len(groups) == 0 {
		return nil
	}
	if c.mode.constrained() {
		switch {
		case slices.Contains(groups, ""):
			return responsewriters.ForbiddenStatusError(c.attributes(c.nameGroup(), "groups", ""), "impersonating the empty string group is not allowed")
		case slices.Contains(groups, user.SystemPrivilegedGroup):
			return responsewriters.ForbiddenStatusError(c.attributes(c.nameGroup(), "groups", user.SystemPrivilegedGroup), "impersonating the system:masters group is not allowed")
		case len(groups) >= many && c.ask(ctx, c.attributes(c.nameGroup(), "groups", "*")) == nil:
			return nil
		}
	}
	for _, group := range groups {
		if err := c.ask(ctx, c.attributes(c.nameGroup(), "groups", group)); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) extra(ctx context.Context, extra map[string][]string) error {
	if len(extra) == 0 {
		return nil
	}
	attributes := func(key, value string) authorizer.AttributesRecord {
		a := c.attributes(authenticationv1.GroupName, "userextras", value)
		a.Subresource = key
		return a
	}
	if c.mode.constrained() {
		if err := validExtra(extra); err != nil {
			return responsewriters.ForbiddenStatusError(attributes("", ""), err.Error())
		}
		count := 0
		for _, values := range extra {
			count += len(values)
		}
		if count >= many && c.ask(ctx, attributes("*", "*")) == nil {
			return nil
		}
	}
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		for _, value := range extra[key] {
			if err := c.ask(ctx, attributes(key, value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// validExtra says what kube-apiserver refuses in the constrained modes.
func validExtra(extra map[string][]string) error {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		if key == "" {
			return errors.New("impersonating the empty string key in extra is not allowed")
		}
		if err := validation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate(); err != nil {
			return fmt.Errorf("impersonating an invalid key in extra is not allowed: %w", err)
		}
		switch values := extra[key]; {
		case key != strings.ToLower(key):
			return fmt.Errorf("impersonating a non-lowercase key in extra is not allowed: %q", key)
		case len(values) == 0:
			return errors.New("impersonating empty values in extra is not allowed")
		case slices.Contains(values, ""):
			return errors.New("impersonating the empty string value in extra is not allowed")
		}
	}
	return nil
}
