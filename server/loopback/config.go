package loopback

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
)

// Host is the address that clients made with [Config] believe to talk to.
const Host = "https://howdah.local"

// Config makes clients call the handler directly, as the user. They speak
// protobuf where the API has it, are not rate limited and hear no warnings. The caller may set
// UserAgent, and may copy and change the config like any other.
func Config(handler http.Handler, u user.Info) *rest.Config {
	return &rest.Config{
		Host:      Host,
		Transport: NewTransport(handler, u),
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
		QPS:            -1,
		WarningHandler: rest.NoWarnings{}, // they are for people
	}
}

// User returns the user that an in-process request was made as. false: the
// request came from elsewhere and has to show credentials.
func User(ctx context.Context) (user.Info, bool) {
	u, ok := ctx.Value(userKey{}).(user.Info)
	return u, ok
}

type userKey struct{}
