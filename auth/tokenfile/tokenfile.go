// Package tokenfile owns the bearer tokens of --token-auth-file.
package tokenfile

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Tokens are users by their tokens' hashes: how long a look-up takes then says
// nothing of the tokens there are.
type Tokens map[[sha256.Size]byte]*authenticator.Response

var _ authenticator.Token = Tokens(nil)

// Load reads a file, a line a token: token,user,UID and, if wanted, groups in one
// quoted column
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file).
// Changes need a restart.
func Load(name string, log *slog.Logger) (Tokens, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read --token-auth-file: %w", err)
	}
	defer file.Close()
	tokens, err := read(file, log.With("file", name))
	if err != nil {
		return nil, fmt.Errorf("read --token-auth-file %s: %w", name, err)
	}
	return tokens, nil
}

func read(file io.Reader, log *slog.Logger) (Tokens, error) {
	tokens := Tokens{}
	reader := csv.NewReader(file)
	reader.FieldsPerRecord = -1
	for {
		record, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			return tokens, nil
		case err != nil:
			return nil, err
		}
		line, _ := reader.FieldPos(0)
		if len(record) < 3 {
			return nil, fmt.Errorf("line %d must have at least 3 columns (token, user name, user uid), found %d", line, len(record))
		}
		if record[0] == "" {
			log.Warn("a line of the token file has no token", "line", line)
			continue
		}
		info := &user.DefaultInfo{Name: record[1], UID: record[2]}
		if len(record) > 3 {
			info.Groups = strings.Split(record[3], ",")
		}
		hash := sha256.Sum256([]byte(record[0]))
		if tokens[hash] != nil {
			log.Warn("a token is in the token file twice, the last line counts", "line", line)
		}
		tokens[hash] = &authenticator.Response{User: info}
	}
}

// AuthenticateToken implements [authenticator.Token].
func (t Tokens) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	response, ok := t[sha256.Sum256([]byte(token))]
	return response, ok, nil
}
