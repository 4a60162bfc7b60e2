package oidc

import (
	"encoding/json"
	"fmt"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel"
)

// claimValues are the claims as CEL sees them.
func claimValues(c claims) (traits.Mapper, error) {
	decoded := make(map[string]any, len(c))
	for name, raw := range c {
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return nil, fmt.Errorf("claim %q failed to unmarshal: %w", name, err)
		}
		decoded[name] = value
	}
	return newObject(decoded), nil
}

// userValues are a user's attributes as CEL sees them.
func userValues(info user.Info) traits.Mapper {
	return newObject(map[string]any{
		"username": info.GetName(),
		"uid":      info.GetUID(),
		"groups":   info.GetGroups(),
		"extra":    info.GetExtra(),
	})
}

// An object is a map whose fields can also be selected by escaped names:
// claims.kubernetes__dot__io is the claim "kubernetes.io"
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration).
type object struct {
	traits.Mapper
}

func newObject(fields map[string]any) traits.Mapper {
	return object{types.NewStringInterfaceMap(adapter{types.DefaultTypeAdapter}, fields)}
}

// Find implements [traits.Mapper].
func (o object) Find(key ref.Val) (ref.Val, bool) {
	if name, ok := key.(types.String); ok {
		if plain, ok := cel.Unescape(string(name)); ok {
			key = types.String(plain)
		}
	}
	return o.Mapper.Find(key)
}

// Contains implements [traits.Container].
func (o object) Contains(key ref.Val) ref.Val {
	_, found := o.Find(key)
	return types.Bool(found)
}

// adapter makes objects of the maps in decoded JSON, however deep.
type adapter struct{ types.Adapter }

// NativeToValue implements [types.Adapter].
func (a adapter) NativeToValue(value any) ref.Val {
	switch value := value.(type) {
	case map[string]any:
		return newObject(value)
	case map[string][]string:
		return object{types.NewDynamicMap(a, value)}
	case []any:
		return types.NewDynamicList(a, value)
	}
	return a.Adapter.NativeToValue(value)
}
