package read

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// continueLife is by default how long a list may be gone on with at the revision of its
// first page. History reaches back further (--history-retention), but clients
// are told to expect about this
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks).
const continueLife = 5 * time.Minute

// A continueToken is upstream's with the time of the list's first page, which
// upstream's decoder passes over.
type continueToken struct {
	APIVersion      string `json:"v"`
	ResourceVersion int64  `json:"rv"`
	StartKey        string `json:"start"`
	Began           int64  `json:"began,omitempty"` // Unix time in seconds; 0: nobody knows
}

// encodeToken makes the token for going on behind the key.
func encodeToken(key, prefix string, revision int64, began time.Time) (string, error) {
	t := continueToken{APIVersion: "meta.k8s.io/v1", ResourceVersion: revision, StartKey: strings.TrimPrefix(key, prefix) + "\x00"}
	if !began.IsZero() {
		t.Began = began.Unix()
	}
	data, err := json.Marshal(t)
	if err != nil {
		return "", apierrors.NewInternalError(err)
	}
	return base64.RawURLEncoding.EncodeToString(data), nil
}

// began is when the list started that goes on with the token, or the zero time.
// What is wrong with a token is apistorage.ValidateListOptions's to say.
func began(token string) time.Time {
	data, err := base64.RawURLEncoding.DecodeString(token)
	var t continueToken
	if err != nil || json.Unmarshal(data, &t) != nil || t.Began == 0 {
		return time.Time{}
	}
	return time.Unix(t.Began, 0)
}
